package mapping

import (
	"slices"
)

// facts are what a condition demands, as far as that can be seen: it holds only where all of them do. They let a map
// leave whole groups of its rules aside at once.
type facts struct {
	rest    func(*scope) bool // where there are choices: what else the condition demands; nil: nothing
	needs   []*place          // places that must be valued
	choices []choice
}

// choice demands that the text of a place is one of some words, or none of them.
type choice struct {
	place *place
	words []string
	not   bool
}

// isOneOf are the facts of a place that must be one of some words.
func isOneOf(p *place, words ...string) facts {
	f := facts{choices: []choice{{p, words, false}}}
	if !slices.Contains(words, "") {
		f.needs = []*place{p}
	}
	return f
}

// isNoneOf are those of a place that must be none of them.
func isNoneOf(p *place, words ...string) facts {
	f := facts{choices: []choice{{p, words, true}}}
	if slices.Contains(words, "") {
		f.needs = []*place{p}
	}
	return f
}

// valued are those of a place that must not be empty; p may be nil.
func valued(p *place) facts {
	if p == nil {
		return facts{}
	}
	return facts{needs: []*place{p}}
}

// needing are those of a test of a text, which may fail the empty one.
func needing(p *place, test func(string) bool) facts {
	if test("") {
		return facts{}
	}
	return valued(p)
}

// not gives the facts of the contrary of a condition that is one choice.
func (f facts) not() facts {
	switch {
	case len(f.choices) != 1 || f.rest != nil:
		return facts{}
	case f.choices[0].not:
		return isOneOf(f.choices[0].place, f.choices[0].words...)
	}
	return isNoneOf(f.choices[0].place, f.choices[0].words...)
}

// and gives the facts of two conditions that must both hold.
func (l *lowered) and(m *lowered) facts {
	f := facts{needs: append(slices.Clone(l.needs), m.needs...), choices: append(slices.Clone(l.choices), m.choices...)}
	switch a, b := l.beside(), m.beside(); {
	case len(f.choices) == 0:
	case a == nil:
		f.rest = b
	case b == nil:
		f.rest = a
	default:
		f.rest = func(s *scope) bool { return a(s) && b(s) }
	}
	return f
}

// beside is what a condition demands beside its choices.
func (l *lowered) beside() func(*scope) bool {
	if len(l.choices) == 0 {
		return l.yes
	}
	return l.rest
}

// or gives those of two conditions of which one must hold.
func (l *lowered) or(m *lowered) (f facts) {
	for _, p := range l.needs {
		if slices.ContainsFunc(m.needs, func(q *place) bool { return *q == *p }) {
			f.needs = append(f.needs, p)
		}
	}
	return f
}
