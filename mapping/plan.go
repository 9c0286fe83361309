package mapping

import (
	"slices"

	"github.com/dermgate/dermgate/mapping/hl7"
)

// plan is one of a map's stretches of 64 rules, with what tells beforehand which of them can do nothing: most rules
// read what most messages leave empty, or are for values of another kind. In its masks bit i is rule first+i.
type plan struct {
	first  int
	rules  uint64
	silent []silent
	tests  []test
}

// silent are rules that do nothing when a field of the segment, or a part of the value, is empty.
type silent struct {
	n     int32 // from 1
	rules uint64
}

// test gives the rules that the text of a place leaves possible.
type test struct {
	place *place
	by    map[string]uint64
	other uint64 // of a text that is not in by
}

// fewest is how many rules must have a say about a place for it to be looked at before them.
const fewest = 3

// plans lays out a map's rules.
func (p *program) plans() {
	for first := 0; first < len(p.rules); first += 64 {
		rules := p.rules[first:min(first+64, len(p.rules))]
		out := plan{first: first, rules: ^uint64(0) >> (64 - len(rules))}
		at := map[int32]uint64{}
		for i := range rules {
			for _, n := range p.wants(&rules[i]) {
				at[n] |= 1 << i
			}
		}
		for n, mask := range at {
			out.silent = append(out.silent, silent{n, mask})
		}
		slices.SortFunc(out.silent, func(a, b silent) int { return int(a.n - b.n) })
		out.tests = p.testsOf(rules)
		p.plan = append(p.plan, out)
	}
}

// wants gives the fields or parts without any of which a rule does nothing.
func (p *program) wants(r *rule) (out []int32) {
	if r.missing == nil && max(r.field, r.part) > 0 {
		out = append(out, max(r.field, r.part))
	}
	if r.when == nil {
		return out
	}
	for _, place := range r.when.needs {
		if n := p.number(r, place); n > 0 {
			out = append(out, n)
		}
	}
	return out
}

// number gives the field or part that a place of a rule's condition is in, 0 when the rule may look at another one
// than the map is about.
func (p *program) number(r *rule, at *place) int32 {
	switch {
	case !p.segment:
		return int32(at.comp)
	case r.from != nil && r.field == 0, at.segment != p.src.from, at.segment == "NTE", at.everywhere, at.every:
		return 0
	}
	return int32(at.field)
}

// testsOf finds the places that the conditions of several rules compare with texts.
func (p *program) testsOf(rules []rule) []test {
	type claim struct {
		rule int
		choice
	}
	var places []*place
	claims := map[place][]claim{}
	for i := range rules {
		r := &rules[i]
		if r.when == nil {
			continue
		}
		for _, c := range r.when.choices {
			n := p.number(r, c.place)
			if n == 0 || p.segment && n == r.field { // the rule may stand on another repetition
				continue
			}
			if claims[*c.place] == nil {
				places = append(places, c.place)
			}
			claims[*c.place] = append(claims[*c.place], claim{i, c})
		}
	}
	var out []test
	for _, at := range places {
		if list := claims[*at]; len(list) >= fewest {
			t := test{place: at, by: map[string]uint64{}, other: ^uint64(0)}
			for _, c := range list {
				for _, w := range c.words {
					t.by[w] = ^uint64(0)
				}
			}
			for _, c := range list {
				if !c.not {
					t.other &^= 1 << c.rule
				}
				for w := range t.by {
					if slices.Contains(c.words, w) == c.not {
						t.by[w] &^= 1 << c.rule
					}
				}
			}
			out = append(out, t)
		}
	}
	return out
}

// possible gives the rules that can do something in a scope.
func (p *plan) possible(s *scope, parts []hl7.Value) uint64 {
	mask := p.rules
	for i := range p.silent {
		if q := &p.silent[i]; int(q.n) > len(parts) || parts[q.n-1].Size() == 0 {
			mask &^= q.rules
		}
	}
	for i := range p.tests {
		if t := &p.tests[i]; t.place.segment == "" || s.field != t.place.field {
			mask &= t.of(s)
		}
	}
	return mask
}

func (t *test) of(s *scope) uint64 {
	v := t.place.read(s)
	raw, plain := s.run.plain(v)
	if !plain {
		raw = []byte(s.run.text(v))
	}
	if mask, ok := t.by[string(raw)]; ok {
		return mask
	}
	return t.other
}
