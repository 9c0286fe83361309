package hl7

import (
	"slices"

	"github.com/dermgate/dermgate/mapping/issue"
)

// segment judges the fields of a segment the standard knows.
func (j *judge) segment(s Segment) {
	e := s.entry()
	rule := j.rules.segments[e.name]
	if rule == nil {
		return
	}
	for n, f := range s.All() {
		if f.start == f.end || f.level == levelLiteral {
			continue
		}
		if rule.growing && n > 2 {
			break
		}
		if n > len(rule.fields) || !rule.fields[n-1].known {
			if j.p.Datatype != Off && f.Presence() != Empty {
				j.find(j.p.Datatype, issue.Value, s.Path(n).String(), "the standard has no such field")
			}
			continue
		}
		at := &rule.fields[n-1]
		if e.name == obx && n == 5 {
			at = j.observation(s)
		}
		j.field(f, at, s.Path(n))
	}
	if j.p.Required == Off {
		return
	}
	for _, n := range rule.required {
		if p := s.Field(n).Presence(); p == Absent || p == Empty {
			j.find(j.p.Required, issue.Required, s.Path(n).String(), "required, and without a value")
		}
	}
}

// observation gives what OBX-5 is judged by: the data type in OBX-2.
func (j *judge) observation(s Segment) *place {
	named := s.Field(2)
	if !named.Valued() {
		if j.p.Required != Off {
			j.find(j.p.Required, issue.Required, s.Path(2).String(), "required where OBX-5 has a value")
		}
		return &anything
	}
	if at := j.rules.values[string(named.Raw())]; at != nil {
		return at
	}
	if j.p.Datatype != Off {
		j.find(j.p.Datatype, issue.Code, s.Path(2).String(), "no data type of the standard: OBX-5 is not judged")
	}
	return &anything
}

// field judges each repetition.
func (j *judge) field(f Value, at *place, path Path) {
	if at.parts == nil {
		if w := f.whole(); w.level == levelSubcomponent {
			if at.repeats {
				path = path.Repeat(1)
			}
			j.value(w, at, path)
			return
		}
	}
	for n, rep := range f.EachRepetition() {
		if n == 2 && !at.repeats && j.p.Datatype != Off {
			j.find(j.p.Datatype, issue.Value, path.Repeat(2).String(), "this field does not repeat")
		}
		if rep.start == rep.end {
			continue
		}
		p := path
		if n > 1 || at.repeats {
			p = path.Repeat(n)
		}
		j.value(rep, at, p)
	}
}

// value judges a repetition, a component or a sub-component by its type, length and table.
func (j *judge) value(v Value, at *place, path Path) {
	raw := v.Raw()
	if len(raw) == 2 && raw[0] == '"' && raw[1] == '"' {
		return
	}
	if at.length > 0 && len(raw) > int(at.length) && j.p.Length != Off && !j.lengthGiven(path) && v.characters() > int(at.length) {
		j.tooLong(path, int(at.length))
	}
	if at.table != "" && j.p.Table != Off {
		j.code(v, at, path)
	}
	switch {
	case at.shape == open:
	case at.parts != nil:
		j.parts(v, at, path)
	default:
		j.leaf(v, at, path)
	}
}

// parts judges the components of a composite, or the sub-components.
func (j *judge) parts(v Value, at *place, path Path) {
	if v.level == levelSubcomponent {
		return // a composite that no delimiter is left for
	}
	var valued uint32
	for n, part := range v.each(v.level + 1) {
		if part.start == part.end {
			continue
		}
		if n > len(at.parts) || !at.parts[n-1].known {
			if j.p.Datatype != Off && part.Presence() != Empty {
				j.find(j.p.Datatype, issue.Value, path.below(v.level, n).String(), "its data type has no such component")
				break // nor those after it
			}
			continue
		}
		valued |= 1 << (n & 31)
		j.value(part, &at.parts[n-1], path.below(v.level, n))
	}
	if at.needs&^valued == 0 || j.p.Required == Off || v.Presence() == Empty {
		return
	}
	for n := range at.parts {
		if at.parts[n].required && valued&(1<<(n+1)) == 0 {
			j.find(j.p.Required, issue.Required, path.below(v.level, n+1).String(), "required, and without a value")
		}
	}
}

// below gives the place of part n of a value of level l.
func (p Path) below(l level, n int) Path {
	if l <= levelRepetition {
		return p.Part(n, 0)
	}
	return p.Part(p.Component(), n)
}

// leaf judges a primitive. Delimiters below it mean that it was not escaped, or is of another type.
func (j *judge) leaf(v Value, at *place, path Path) {
	if j.p.Datatype == Off {
		return
	}
	first := v.whole()
	for first.level < levelSubcomponent {
		w := first.next(first.level+1, first.start)
		rest := Value{m: v.m, start: w.end, end: first.end, level: first.level}
		if w.end < first.end && rest.Presence() != Empty && !(at.shape == shapeDTM && first.level == levelRepetition) {
			j.find(j.p.Datatype, issue.Value, path.below(first.level, 2).String(), "its data type has no components: a delimiter not escaped?")
			return
		}
		first = w
	}
	if raw := first.Raw(); len(raw) > 0 && !at.shape.fits(raw, v.m.del.Escape) {
		j.find(j.p.Datatype, issue.Value, path.String(), at.shape.want())
	}
}

// whole gives a short value that no delimiter splits as its own only sub-component, any other as it is.
func (v Value) whole() Value {
	const short = 64
	if v.end-v.start > short {
		return v
	}
	for _, c := range v.Raw() {
		if v.splits(c) {
			return v
		}
	}
	v.level = levelSubcomponent
	return v
}

// code judges a coded value: of HL7's own tables an ID, of a site's any place of the table.
func (j *judge) code(v Value, at *place, path Path) {
	list, given := j.p.Tables[at.table]
	if !given && at.codes == nil {
		return
	}
	w := v.whole()
	for w.level < levelSubcomponent {
		w = w.next(w.level+1, w.start)
	}
	raw := w.Raw()
	if len(raw) == 0 || string(raw) == `""` {
		return
	}
	ok := at.codes[string(raw)]
	if given {
		ok = slices.ContainsFunc(list, func(s string) bool { return s == string(raw) })
	}
	if ok {
		return
	}
	if at.parts != nil {
		path = path.below(v.level, 1)
	}
	j.find(j.p.Table, issue.Code, path.String(), "not a value of table "+at.table)
}
