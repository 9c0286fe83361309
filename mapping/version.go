package mapping

import (
	"slices"
	"strconv"

	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// lacks tells why the version that is written has no such place in the current segment, "" where it has it. A field that
// the message map sends early is there in every version, unless the destination wants none of those.
func (w *writing) lacks(at spot) string {
	if !w.o.Strict && (w.anyway || w.early[field{w.segment, at.field}]) {
		return ""
	}
	comp, sub := at.comp, at.sub
	if sub > 0 {
		comp = max(comp, 1)
	}
	if w.segment == "OBX" && at.field == 5 && comp > 6 && w.version.Datatype("CWE") == "CE" {
		return "no such component" // OBX-2 says CE
	}
	return w.version.Lacks(w.segment, at.field, at.rep, comp, sub)
}

// otherwise gives the first free place of a rule whose own the version lacks; its own when there is none, which is
// written all the same when the rule names it among the others.
func (r *backRule) otherwise(s *scope, own spot) (at spot, anyway bool) {
	for i := range r.other {
		at := r.other[i].spot(s)
		if at == own {
			return own, true
		}
		if s.out.lacks(at) == "" && !s.out.filled[at] {
			return at, false
		}
	}
	return own, false
}

// own tells a rule whose value is the gateway's and not the Bundle's: a constant, the time of writing.
func (r *backRule) own() bool {
	return r.value != nil && !slices.ContainsFunc(r.value.reads, func(v variable) bool { _, known := written[v.name]; return !known })
}

// field is one of a segment.
type field struct {
	segment string
	number  int
}

// withheld tells once of a place that had a value and that the version lacks.
func (w *writing) withheld(at spot, why string) {
	f := field{w.segment, at.field}
	where := hl7.MustPath(f.segment + "-" + strconv.Itoa(f.number))
	if w.version.Lacks(f.segment, f.number, 1, 0, 0) == "" {
		where = where.Part(at.comp, at.sub)
	}
	if w.own || w.told[where.String()] {
		return
	}
	w.told[where.String()] = true
	w.issues = append(w.issues, issue.Warn(issue.Unmapped, where.String(), "not sent: HL7 "+w.o.Version+" has "+why))
}

// early compiles the fields that a message map sends in versions before the one that brought them.
func (c *compiler) early(s *source) map[field]bool {
	out := map[field]bool{}
	for _, t := range s.early {
		p, why := segmentAt(t.s)
		if why == "" && (p.comp > 0 || p.rep > 0) {
			why = "early names whole fields"
		}
		if why != "" {
			c.faults.add(t.at, "%s", why)
			continue
		}
		out[field{p.segment, p.field}] = true
	}
	return out
}
