package mapping

import (
	"bytes"
	"slices"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// What a sender deletes. A field that is `""` empties what the receiver holds, an empty field leaves it (HL7 v2.8
// §2.5.3.4). Of the patient in an event of `snapshot`, an element stands for such a field that has no value and
// says so (data-absent-reason); in any other place a Bundle cannot say it, and the sender is told.

// absentCode is the reason given: the sender says that there is no value, and not why.
const absentCode = "unknown"

// identifies tells the fields that say who the patient is, numbers and name: no message empties them.
func identifies(segment string, field int) bool {
	return segment == "PID" && slices.Contains([]int{2, 3, 4, 5, 18, 19}, field)
}

// snapshots tells whether `""` deletes in this message, and stands in it at all.
func (m *message) snapshots(in *hl7.Message) bool {
	code, trigger, _ := in.Type()
	return slices.Contains(m.snapshot, code+"^"+trigger) && bytes.Contains(in.Bytes(), []byte(`""`))
}

func null(v hl7.Value) bool { return string(v.Raw()) == `""` }

// delete writes what the fields of a segment delete, each where the first rule that reads it would have written.
func (p *program) delete(s *scope) {
	field, value, path := s.field, s.value, s.path
	for n := 1; n <= s.run.pieces.Fields(s.seg.Index()); n++ {
		if v := s.run.field(s.seg, n); null(v) && !identifies(p.src.from, n) {
			s.field, s.value, s.path = n, v, s.seg.Path(n).Repeat(1)
			p.deleteField(s)
		}
	}
	s.field, s.value, s.path = field, value, path
}

func (p *program) deleteField(s *scope) {
	for i := range p.rules {
		r := &p.rules[i]
		f := r.from
		if f == nil || f.segment != p.src.from || f.field != s.field || f.rep > 1 || f.everywhere || r.when != nil && !r.when.yes(s) {
			continue
		}
		if r.to.slot < 0 || !r.to.taken(s) { // else another field says what is there now
			el, ok := r.to.reach(s)
			if !ok {
				continue
			}
			absent, err := el.AddDef(r.to.def)
			if err != nil {
				continue
			}
			if r.to.slot >= 0 {
				s.slots[r.to.slot] = absent
				if !r.to.def.Repeats() && r.to.def.Type.Kind == fhir.Primitive {
					s.slots[r.to.slot] = el
				}
			}
			s.run.withoutValue(absent, s.path, r.pos)
			if len(r.set) > 0 {
				r.beside(s)
			}
		}
		s.run.use(s.value)
		return
	}
}

// withoutValue makes an element say that it has no value any more, and tells of it. Where only the codes of a value
// set may stand and one of them is unknown, that says so: HL7's validator wants a code there.
func (r *run) withoutValue(el fhir.Element, at hl7.Path, by pos) {
	text := "deleted by the sender: its element stands without a value"
	if d := el.Def(); bound(d) && slices.Contains(d.Binding.Codes, absentCode) {
		el.SetText(absentCode)
		text = "deleted by the sender: its element says unknown"
	} else if !absent(el) {
		return // cannot happen: every element takes an extension
	}
	r.writes++
	r.issues = append(r.issues, &issue.Issue{Kind: issue.Value, Severity: issue.Information, Where: at.String(), Text: text})
	if r.trace != nil {
		r.marks = append(r.marks, traceMark{el: el, from: []string{at.Part(1, 0).String()}, rule: by})
	}
}

// delete writes references that a field of a group deletes: `""` in PD1-4 takes the patient's GP away.
func (l *link) delete(r *run, m *message, from *instance) {
	for _, want := range l.groups {
		g := m.groups[want]
		if g.each == nil {
			continue
		}
		seg := r.after(g.eachSeg, -1)
		if !seg.OK() || !null(r.field(seg, g.each.field)) {
			continue
		}
		if l.single && from.el.ChildDef(l.to.def).OK() || len(l.to.way) > 0 {
			continue
		}
		ref, err := from.el.AddDef(l.to.def)
		if err != nil || ref.Set("type", g.typ) != nil {
			continue
		}
		v := r.field(seg, g.each.field)
		r.withoutValue(ref, seg.Path(g.each.field).Repeat(1), g.at)
		r.use(v)
	}
}

// absent adds the reason why an element has no value.
func absent(el fhir.Element) bool {
	x, err := el.Add("extension")
	return err == nil && x.Set("url", absentReason) == nil && x.Set("valueCode", absentCode) == nil
}
