package mapping

import (
	"slices"

	"cel.dev/cel-go/common/operators"
)

// facts are what a condition demands, as far as that can be seen: it holds only where all of them do. They let a map
// leave whole groups of its rules aside at once.
type facts struct {
	needs   []*place // places that must be valued
	choices []choice
	whole   bool // they are one choice, and the condition says nothing else
}

// choice demands that the text of a place is one of some words, or none of them.
type choice struct {
	place *place
	words []string
	not   bool
}

// isOneOf are the facts of a place that must be one of some words.
func isOneOf(p *place, words ...string) facts {
	f := facts{choices: []choice{{p, words, false}}, whole: true}
	if !slices.Contains(words, "") {
		f.needs = []*place{p}
	}
	return f
}

// isNoneOf are those of a place that must be none of them.
func isNoneOf(p *place, words ...string) facts {
	f := facts{choices: []choice{{p, words, true}}, whole: true}
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

// not gives the facts of the contrary.
func (f facts) not() facts {
	switch {
	case !f.whole:
		return facts{}
	case f.choices[0].not:
		return isOneOf(f.choices[0].place, f.choices[0].words...)
	}
	return isNoneOf(f.choices[0].place, f.choices[0].words...)
}

// join gives the facts of two conditions joined by and, or by or.
func (f facts) join(op string, g facts) facts {
	if op == operators.LogicalAnd {
		return facts{needs: append(slices.Clone(f.needs), g.needs...), choices: append(slices.Clone(f.choices), g.choices...)}
	}
	var out facts
	for _, p := range f.needs {
		if slices.ContainsFunc(g.needs, func(q *place) bool { return *q == *p }) {
			out.needs = append(out.needs, p)
		}
	}
	return out
}
