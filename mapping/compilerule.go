package mapping

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

func (c *compiler) rule(src srcRule, s *source, sh *shape, lex lexicon) *rule {
	r := &rule{pos: src.from.at}
	if len(src.orElse) > 0 {
		c.faults.add(src.orElse[0].at, "else is for a place that a version of HL7 lacks; in an element the first rule that has a value wins")
	}
	var ok bool
	r.value, r.when, ok = c.opening(src, lex, func() (ok bool) { r.from, ok = c.place(src.from, s); return ok })
	to, found := c.target(src.to, sh)
	if !found || !ok {
		return nil
	}
	r.to = *to
	if !c.ours(src.to, sh, to) || !c.how(r, src) {
		return nil
	}
	if r.from != nil && r.from.repeats && to.slot >= 0 && !r.join {
		c.faults.add(src.from.at, "%s repeats and %s holds one: say which, such as %s", src.from.s, src.to.s, firstOf(r.from))
		return nil
	}
	c.constants(r, src, sh)
	r.missing = c.missing(src.missing)
	r.many = r.to.def.Repeats() && r.to.slot < 0
	if r.once = src.once; r.once && (r.value != nil || r.join || !r.to.gathers()) {
		c.faults.add(src.to.at, "once: true is for a place that is written into a repeating element, and %s is none", src.to.s)
		return nil
	}
	r.plain = r.plain && !r.once && len(r.set) == 0
	return r
}

// opening compiles what a rule begins with either way: an expression in parentheses, or a place that from compiles; and
// its condition. ok is false after a fault.
func (c *compiler) opening(src srcRule, lex lexicon, from func() bool) (value, when *expr, ok bool) {
	if inner, computed := strings.CutPrefix(src.from.s, "("); computed && strings.HasSuffix(inner, ")") {
		value = c.exprs.value(text{strings.TrimSuffix(inner, ")"), src.from.at.plus(1)}, lex)
		ok = value != nil
	} else {
		ok = from()
	}
	if src.when.s != "" {
		when = c.exprs.condition(src.when, lex)
		ok = ok && when != nil
	}
	return value, when, ok
}

func firstOf(p *place) string {
	q := *p
	out := q.segment + "-" + strconv.Itoa(q.field) + "[1]"
	for _, n := range []int{q.comp, q.sub} {
		if n > 0 {
			out += "." + strconv.Itoa(n)
		}
	}
	return out
}

func (c *compiler) missing(t text) *missing {
	switch t.s {
	case "":
		return nil
	case "error":
		return &missing{issue.Error}
	case "warning":
		return &missing{issue.Warning}
	}
	c.faults.add(t.at, "missing is error or warning%s", meant(t.s, []string{"error", "warning"}))
	return nil
}

// constants compiles what is set beside a rule's value.
func (c *compiler) constants(r *rule, src srcRule, sh *shape) {
	if len(src.set) == 0 {
		return
	}
	base := r.to.def.Type
	if base.Kind == fhir.Primitive {
		base = sh.typ
		if n := len(r.to.way); n > 0 {
			base = r.to.way[n-1].def.Type
		}
	}
	inner := newShape(base)
	for _, k := range src.set {
		to, ok := c.target(k[0], inner)
		if !ok {
			continue
		}
		value := k[1]
		if uri, named := strings.CutPrefix(value.s, "$"); named {
			if value.s, ok = c.system(text{uri, value.at}); !ok {
				continue
			}
		}
		if to.def.Type.Kind != fhir.Primitive {
			c.faults.add(k[0].at, "%s is a %s: a constant is one value", k[0].s, to.def.Type.Name)
			continue
		}
		if !c.ours(k[0], inner, to) || !c.fits(value, to.def) {
			continue
		}
		fixed, _ := fhir.NewConstant(to.def, value.s) // cannot fail: a primitive
		r.set = append(r.set, constant{*to, fixed})
		if r.to.def.Type.Kind == fhir.Primitive {
			sh.beside(src.to, to.top)
		}
	}
	for _, path := range keys(inner.inner) {
		if in := inner.inner[path]; path != "" {
			c.incomplete(in.typ, in.names, func(d *fhir.ElementDef, why string) {
				c.faults.add(in.first.at, "%s.%s is %s: set: does not fill it", in.typ.Name, d.Shown(), why)
			})
		}
	}
	r.slots = int32(len(inner.slots))
}

func oneOf(code string, codes []string) string {
	if near := meant(code, codes); near != "" {
		return near
	}
	if len(codes) > 12 {
		return ""
	}
	return "; want one of " + strings.Join(codes, ", ")
}

// shadows finds rules that can never write, because an earlier one always has.
func (c *compiler) shadows(s *source) {
	type seen struct {
		from, when string
		at         pos
	}
	first := map[string][]seen{}
	for _, r := range s.rules {
		for _, before := range first[r.to.s] {
			constant := before.when == "" && literalRule.MatchString(before.from)
			if constant || before.from == r.from.s && (before.when == "" || before.when == r.when.s) {
				switch {
				case !c.single(s, r.to):
					continue
				case before.at.file == r.from.at.file && before.at.layer == r.from.at.layer:
					c.faults.add(r.from.at, "this rule never writes: an earlier one always fills %s", r.to.s)
				default: // what a site has its own rule for
					c.faults.note(before.at, "the rule at %s never writes, for this one always fills %s", r.from.at.seen(before.at), r.to.s)
				}
				break
			}
		}
		first[r.to.s] = append(first[r.to.s], seen{r.from.s, r.when.s, r.from.at})
	}
}

// literalRule is a FROM that is one string literal.
var literalRule = regexp.MustCompile(`^\("[^"]*"\)$`)

// single tells whether a target of a map holds one value.
func (c *compiler) single(s *source, to text) bool {
	quiet := &compiler{faults: &faults{}, schema: c.schema, names: c.names}
	typ, ok := quiet.fhirType(text{s.to, s.name.at})
	if !ok {
		return false
	}
	t, ok := quiet.target(to, newShape(typ))
	return ok && t.slot >= 0
}

// check compiles a condition that means trouble.
func (c *compiler) check(src srcCheck, s *source, lex lexicon) *check {
	p, ok := c.place(src.place, s)
	when := c.exprs.condition(src.when, lex)
	if !ok || when == nil {
		return nil
	}
	k := &check{place: *p, when: when, issue: issue.Issue{Kind: issue.Value, Text: src.text.s}, pos: src.place.at}
	switch src.severity.s {
	case "", "error":
	case "warning":
		k.issue.Severity = issue.Warning
	default:
		c.faults.add(src.severity.at, "severity is error or warning%s", meant(src.severity.s, []string{"error", "warning"}))
	}
	if src.kind.s != "" {
		k.issue.Kind = issue.Kind(src.kind.s)
		if !slices.Contains(issue.Kinds(), k.issue.Kind) {
			c.faults.add(src.kind.at, "no kind of issue %s", src.kind.s)
		}
	}
	return k
}
