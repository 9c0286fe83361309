package mapping

import (
	"math/bits"
	"slices"
)

// plan is one of a map's stretches of 64 rules, with what tells beforehand which of them can do nothing: most rules
// read what most messages leave empty, or are for values of another kind. In its masks bit i is rule first+i.
type plan struct {
	first  int
	rules  uint64
	wanted uint64     // the fields or parts that by is about
	by     [64]uint64 // the rules that do nothing when a field of the segment, or a part of the value, is empty
	apart  []elsewhere
	tests  []test
	told   uint64 // the rules whose conditions' choices are all in tests
}

// elsewhere are rules that read another segment, and do nothing where there is none to be seen.
type elsewhere struct {
	name  segName
	rules uint64
}

// test gives the rules that the text of a place leaves possible.
type test struct {
	place   *place
	rules   uint64 // that it has a say about
	words   []string
	by      []uint64 // for each of words
	other   uint64   // for any other text
	present bool     // the only word is "": it is enough to know whether there is a text
}

// fewest is how many rules must have a say about a place for it to be looked at before them.
const fewest = 2

// plans lays out a map's rules.
func (p *program) plans() {
	for first := 0; first < len(p.rules); first += 64 {
		rules := p.rules[first:min(first+64, len(p.rules))]
		out := plan{first: first, rules: ^uint64(0) >> (64 - len(rules))}
		for i := range rules {
			for _, n := range p.wants(&rules[i]) {
				out.wanted, out.by[n] = out.wanted|1<<n, out.by[n]|1<<i
			}
		}
		out.apart = p.others(rules)
		out.tests, out.told = p.testsOf(rules)
		p.plan = append(p.plan, out)
	}
}

// others finds the rules that read other segments than the map is about.
func (p *program) others(rules []rule) (out []elsewhere) {
	for i := range rules {
		from := rules[i].from
		if from == nil || from.segment == "" || from.everywhere || rules[i].field > 0 || rules[i].missing != nil {
			continue
		}
		k := slices.IndexFunc(out, func(e elsewhere) bool { return e.name == from.name })
		if k < 0 {
			k, out = len(out), append(out, elsewhere{name: from.name})
		}
		out[k].rules |= 1 << i
	}
	return out
}

// wants gives the fields or parts without any of which a rule does nothing.
func (p *program) wants(r *rule) (out []int32) {
	if n := max(r.field, r.part); r.missing == nil && n > 0 && n < 64 {
		out = append(out, n)
	}
	if r.when == nil {
		return out
	}
	for _, place := range r.when.needs {
		if n := p.number(r, place); n > 0 && n < 64 {
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

// claim is a choice that a rule's condition makes.
type claim struct {
	rule int
	choice
}

// testsOf finds the places that the conditions of several rules compare with texts.
func (p *program) testsOf(rules []rule) (out []test, told uint64) {
	var places []*place
	claims := map[place][]claim{}
	for i := range rules {
		r := &rules[i]
		if r.when == nil || len(r.when.choices) == 0 {
			continue
		}
		told |= 1 << i
		for _, c := range r.when.choices {
			n := p.number(r, c.place)
			if n == 0 || p.segment && n == r.field { // the rule may stand on another repetition
				told &^= 1 << i
				continue
			}
			if claims[*c.place] == nil {
				places = append(places, c.place)
			}
			claims[*c.place] = append(claims[*c.place], claim{i, c})
		}
	}
	for _, at := range places {
		list := claims[*at]
		if len(list) >= fewest {
			out = append(out, newTest(at, list))
			continue
		}
		for _, c := range list {
			told &^= 1 << c.rule
		}
	}
	return out, told
}

func newTest(at *place, claims []claim) test {
	t := test{place: at, other: ^uint64(0)}
	for _, c := range claims {
		t.rules |= 1 << c.rule
		for _, w := range c.words {
			if !slices.Contains(t.words, w) {
				t.words, t.by = append(t.words, w), append(t.by, ^uint64(0))
			}
		}
	}
	for _, c := range claims {
		if !c.not {
			t.other &^= 1 << c.rule
		}
		for i, w := range t.words {
			if slices.Contains(c.words, w) == c.not {
				t.by[i] &^= 1 << c.rule
			}
		}
	}
	t.present = len(t.words) == 1 && t.words[0] == ""
	return t
}

// possible gives the rules that can do something in a scope, and those of which it is known that the choices of their
// conditions hold. valued has bit n when there is any text in field or part n.
func (p *plan) possible(s *scope, valued uint64) (rules, told uint64) {
	rules, told = p.rules, p.told
	for empty := p.wanted &^ valued; empty != 0; empty &= empty - 1 {
		rules &^= p.by[bits.TrailingZeros64(empty)]
	}
	for i := range p.apart {
		if q := &p.apart[i]; rules&q.rules != 0 && !s.run.relative(s.seg, q.name).OK() {
			rules &^= q.rules
		}
	}
	for i := range p.tests {
		t := &p.tests[i]
		switch {
		case t.rules&rules == 0:
		case t.place.segment != "" && s.field == t.place.field && s.path.Repetition() > 1:
			told &^= t.rules
		default:
			rules &= t.of(s)
		}
	}
	return rules, told
}

func (t *test) of(s *scope) uint64 {
	v := t.place.read(s)
	if t.present {
		if v.Valued() {
			return t.other
		}
		return t.by[0]
	}
	raw, plain := s.run.plain(v)
	if !plain {
		raw = []byte(s.run.text(v))
	}
	for i, w := range t.words {
		if string(raw) == w {
			return t.by[i]
		}
	}
	return t.other
}
