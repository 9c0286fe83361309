package mapping

import "github.com/dermgate/dermgate/mapping/fhir"

// shape collects what a map needs to run: its slots, and which elements it fills.
type shape struct {
	typ    *fhir.Type
	slots  map[string]int
	guards map[int]bool       // slots of elements that can be incomplete
	inner  map[string]*filled // by the way to it as a rule writes it; "" the map's own element
	done   bool               // all rules of the map have been noted
}

// filled is what the rules of a map write in an element.
type filled struct {
	typ   *fhir.Type
	names map[string]bool
	first text // the target that has led here first
	own   bool // the map makes it: another map's rules write in another one
	there bool // it is selected among those that are there
}

func newShape(t *fhir.Type) *shape {
	return &shape{typ: t, slots: map[string]int{}, guards: map[int]bool{},
		inner: map[string]*filled{"": {typ: t, names: map[string]bool{}, own: t.Kind != fhir.Resource}}}
}

// own tells what the rules write in the map's own element.
func (s *shape) own() map[string]bool { return s.inner[""].names }

// note notes what a target writes, at its end and on the way.
func (s *shape) note(t text, steps []pathStep) {
	in := s.inner[""]
	for i, st := range steps {
		in.names[st.name] = true
		d, ok := in.typ.Element(st.name)
		if i == len(steps)-1 && st.arg == "" || !ok {
			return
		}
		path := t.s
		if i < len(steps)-1 {
			path = t.s[:steps[i+1].at.col-t.at.col-1]
		}
		next := s.inner[path]
		if next == nil {
			next = &filled{typ: d.Type, names: map[string]bool{}, first: t, own: in.own || d.Repeats(), there: in.there || st.arg != "" && st.name != "extension"}
			s.inner[path] = next
		}
		if st.name == "extension" && st.arg != "" {
			next.names["url"] = true
			if i == len(steps)-1 {
				next.names["value"] = true
			}
		}
		in = next
	}
}

func (s *shape) slot(path string) int {
	n, ok := s.slots[path]
	if !ok {
		n = len(s.slots)
		s.slots[path] = n
	}
	return n
}

// beside notes what is set beside a primitive that a target writes.
func (s *shape) beside(t text, name string) {
	outer := ""
	for rest := t.s; ; {
		step := nextStep(rest)
		if len(step) == len(rest) {
			break
		}
		outer, rest = t.s[:len(t.s)-len(rest)+len(step)], rest[len(step)+1:]
	}
	s.inner[outer].names[name] = true
}
