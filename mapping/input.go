package mapping

import "github.com/dermgate/dermgate/mapping/hl7"

// input is a value on its way: from a place of the message, or computed.
type input struct {
	v    hl7.Value
	at   origin
	path hl7.Path // when at says so
	text string   // when computed
	from []string // places it was computed from, for a trace
}

// origin tells where an input stood. Its path is made when an issue, a trace or a map asks for it: most
// inputs are written without.
type origin uint8

const (
	nowhere origin = iota // it was computed
	inValue               // in the value that the scope is on
	inFirst               // in the first repetition of the rule's field
	byPath                // input.path says it
)

// where gives the path of the scope's input.
func (r *rule) where(s *scope) hl7.Path {
	at, p := s.path, r.from
	switch s.in.at {
	case nowhere:
		return hl7.Path{}
	case byPath:
		return s.in.path
	case inFirst:
		at = s.seg.Path(p.field).Repeat(1)
	case inValue:
		if p.segment == "" {
			return p.below(s)
		}
	}
	if p.comp == 0 {
		return at
	}
	return at.Part(p.comp, p.sub)
}

// given gives the text of the scope's input, and tells a clean one; lead reads the first component of a composite.
func (r *rule) given(s *scope, lead bool) (text string, clean bool) {
	v := s.in.v
	switch {
	case s.in.at == nowhere:
		return s.in.text, false
	case lead && s.in.at == inFirst && r.from.comp == 0: // which is taken apart already
		v = s.run.pieces.Component(s.seg.Index(), r.from.field, 1)
	case lead:
		v = v.Component(1)
	}
	if !v.Valued() {
		return "", false
	}
	return s.run.shown(v)
}
