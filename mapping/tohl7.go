package mapping

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// writing is one message on its way out.
type writing struct {
	o         *Out
	structure string // MSH-9.3
	version   hl7.Version
	early     map[field]bool
	told      map[string]bool // places that the version lacks
	own       bool            // what is being written is not of the Bundle
	anyway    bool            // it goes out although the version lacks its place
	out       *Written
	zone      *time.Location
	bundle    *fhir.Bundle
	b         *hl7.Builder
	issues    issue.List

	segment string
	counts  map[string]int  // of segments written, by name
	reps    map[int]int     // of the fields of the current segment
	filled  map[spot]bool   // places of the current segment
	held    map[int]bool    // fields of the current segment that are as the request had them
	copied  map[string]bool // segments, by name, that are
	origins map[madeOf]bool
	begun   bool // the current segment has been written to
	line    string
}

// madeOf says that a segment of a name is made from an element.
type madeOf struct {
	segment string
	from    fhir.Element
}

// ToHL7 writes a canonical Bundle as an HL7 v2 message: an answer (the request's resources with Task and
// Communication) as RRI_I12, ORU_R01 or MDM_T02, a request as REF_I12. Clinical text is written whole. Issues say
// what could not be carried; the error is for a message no map writes, for a character that the character
// set lacks, and for a file that Out.Files does not give. Files are read when the message is written.
func (s *Set) ToHL7(b *fhir.Bundle, o Out) (*Written, issue.List, error) {
	m, structure := s.output(o.Message)
	if m == nil {
		return nil, nil, issue.New(issue.UnsupportedType, "", "no map writes this message: want one of "+strings.Join(keys(s.outputs), ", ")+
			", or another event of their structures")
	}
	if o.Version == "" {
		o.Version = "2.4"
	}
	version, ok := hl7.VersionOf(o.Version)
	if !ok {
		return nil, nil, issue.New(issue.UnsupportedVersion, "", "a version that is not written: want one of "+strings.Join(hl7.Versions, ", "))
	}
	if o.Charset == "" {
		o.Charset = "UNICODE UTF-8"
	}
	if o.Application == "" {
		o.Application = "NE"
	}
	w := &writing{o: &o, structure: structure, version: version, early: m.early, told: map[string]bool{}, out: &Written{}, zone: o.Zone, bundle: b, b: hl7.NewBuilder(hl7.Standard()), counts: map[string]int{}, copied: map[string]bool{}, origins: map[madeOf]bool{}}
	if w.zone == nil {
		w.zone = time.UTC
	}
	w.b.Charset(o.Charset)
	sc := &scope{out: w, node: b.Root}
	for _, g := range m.groups {
		g.write(sc)
	}
	if err := w.b.Err(); err != nil {
		return nil, w.issues, err
	}
	if worst := w.issues.Worst(); worst != nil {
		return nil, w.issues, worst
	}
	w.out.text = w.b.Bytes()
	long, err := w.tooLong(w.out.text)
	w.issues = append(w.issues, long...)
	if worst := long.Worst(); worst != nil {
		err = worst
	}
	if err != nil {
		return nil, w.issues, err
	}
	return w.out, w.issues, nil
}

// messageName is what Out.Message may be: a type, an event, and which of several maps of it.
var messageName = regexp.MustCompile(`^([A-Z0-9]{3})_([A-Z0-9]{3})(-[A-Za-z]+)?$`)

// output gives the map that writes a message, its own or that of its structure, and the structure's name.
func (s *Set) output(message string) (*outMessage, string) {
	part := messageName.FindStringSubmatch(message)
	if part == nil {
		return nil, ""
	}
	structure := cmp.Or(hl7.StructureOf(part[1], part[2]), part[1]+"_"+part[2])
	if m := s.outputs[message]; m != nil {
		return m, structure
	}
	return s.outputs[structure+part[3]], structure
}

// write writes the segments of a group.
func (g *outGroup) write(s *scope) {
	if g.whole && s.out.copySegments(g) {
		return
	}
	typ := g.maps[0].typ
	one := func(el fhir.Element) bool {
		if ref := el.Child("reference"); el.Type().Name == "Reference" && typ.Name != "Reference" {
			el = s.out.bundle.Resolve(ref.Text())
		}
		if !el.OK() || el.Type() != typ || g.once && s.out.origins[madeOf{g.segment, el}] {
			return true
		}
		inner := &scope{out: s.out, node: el}
		if g.where == nil || g.where.yes(inner) {
			s.out.origins[madeOf{g.segment, el}] = true // also where the version lacks all that it would say
			g.segments(inner)
			g.following(inner)
		}
		return true
	}
	switch {
	case g.each != nil:
		g.each.each(s, one)
	case typ.Name == "Bundle":
		one(s.out.bundle.Root)
	default:
		for r := range s.out.bundle.All(typ.Name) {
			one(r)
		}
	}
}

// following writes the segments that belong to the one just written, their set ids from 1, through neighbours of one name.
func (g *outGroup) following(s *scope) {
	written, before := s.out.begun, 0
	for i, inner := range g.inner {
		if !written {
			s.out.alone(inner, g.segment, s)
			continue
		}
		if i == 0 || g.inner[i-1].segment != inner.segment {
			before, s.out.counts[inner.segment] = s.out.counts[inner.segment], 0
		}
		inner.write(s)
		if i+1 == len(g.inner) || g.inner[i+1].segment != inner.segment {
			s.out.counts[inner.segment] = before
		}
	}
}

// alone tells that a segment is not sent which would follow one that is not there, once.
func (w *writing) alone(g *outGroup, after string, s *scope) {
	if g.each.first(s).OK() && !w.told[g.segment] {
		w.told[g.segment] = true
		w.issues = append(w.issues, issue.Warn(issue.Unmapped, g.segment, "not sent: there is no "+after+" for it to follow"))
	}
}

// segments writes one segment for an element, or one for each line of its text.
func (g *outGroup) segments(s *scope) {
	if !g.split {
		s.out.line = s.node.Text()
		g.segmentOf(s)
		return
	}
	for _, line := range s.out.lines(g, s.node.Text()) {
		s.out.line = line
		g.segmentOf(s)
	}
}

func (g *outGroup) segmentOf(s *scope) {
	w := s.out
	w.segment, w.begun, w.reps, w.filled = g.segment, false, map[int]int{}, map[spot]bool{}
	w.held = w.copyFields(g)
	for _, p := range g.maps {
		for _, r := range p.rules {
			r.run(s)
		}
	}
	if w.begun {
		w.o.Ran.note(g.at)
	}
	if w.begun || g.split {
		for _, k := range g.set {
			if to := k.to.spot(s); !w.filled[to] && w.lacks(to) == "" {
				w.put(to, k.text)
			}
		}
	}
}

// spot gives where a place is in the segment being written, inside a data type's own spot.
func (p *place) spot(s *scope) spot {
	if p.segment != "" {
		return spot{p.field, max(p.rep, 1), p.comp, p.sub}
	}
	at := s.at
	if at.comp > 0 {
		at.sub = p.comp
		return at
	}
	at.comp, at.sub = p.comp, p.sub
	return at
}

func (r *backRule) run(s *scope) {
	if r.when != nil && !r.when.yes(s) {
		return
	}
	if r.value != nil {
		if text := r.value.str(s); text != "" {
			r.put(s, fhir.Element{}, text)
		}
		return
	}
	r.from.each(s, func(el fhir.Element) bool {
		return !r.put(s, el, "") || r.to.repeats
	})
}

// put writes one value. A repeating field gets one more repetition, another place is filled once: the first
// rule that has a value wins.
func (r *backRule) put(s *scope, el fhir.Element, computed string) bool {
	w, at := s.out, r.to.spot(s)
	anyway := false
	if len(r.other) > 0 && w.lacks(at) != "" {
		at, anyway = r.otherwise(s, at)
	}
	if r.to.repeats && r.to.segment != "" {
		at.rep = w.reps[at.field] + 1
	}
	w.own, w.anyway = r.own(), anyway
	done := !w.held[at.field] && !w.filled[at] && r.write(s, at, el, computed)
	w.anyway = false
	if !done {
		return false
	}
	w.filled[at] = true
	w.o.Ran.note(r.at)
	if r.to.segment != "" {
		w.reps[at.field] = max(w.reps[at.field], at.rep)
	}
	for _, k := range r.set {
		to := k.to.spot(s)
		if k.to.segment != "" && k.to.field == at.field {
			to.rep = at.rep
		}
		if !w.held[to.field] && !w.filled[to] && w.lacks(to) == "" {
			w.put(to, k.text)
		}
	}
	return true
}

// put writes text at a spot of the current segment, which begins with its first value; false when the version has no such
// place, which is told.
func (w *writing) put(at spot, text string) bool {
	if why := w.lacks(at); why != "" {
		w.withheld(at, why)
		return false
	}
	if w.segment == "OBX" && at.field == 2 {
		text = w.version.Datatype(text)
	}
	w.begin()
	w.b.Set(at.field, at.rep, at.comp, at.sub, text)
	return true
}

// text is put for a text of the Bundle: where that is two quotation marks it says so, and deletes nothing.
func (w *writing) text(at spot, text string) bool {
	if text != `""` || w.lacks(at) != "" {
		return w.put(at, text)
	}
	w.begin()
	w.b.SetRaw(at.field, at.rep, at.comp, at.sub, []byte(`\X2222\`))
	return true
}

func (w *writing) begin() {
	if !w.begun {
		w.begun = true
		w.counts[w.segment]++
		w.b.Segment(w.segment)
	}
}

// setID numbers the current segment among those of its name.
func (w *writing) setID() string { return strconv.Itoa(w.counts[w.segment] + 1 - boolInt(w.begun)) }
