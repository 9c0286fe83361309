package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// how compiles the HOW of a rule and holds it against both ends.
func (c *compiler) how(r *rule, src srcRule) bool {
	how, typ := src.how.s, r.to.def.Type
	switch {
	case strings.HasPrefix(how, "table(") && strings.HasSuffix(how, ")"):
		return c.tableHow(r, src, strings.TrimSuffix(strings.TrimPrefix(how, "table("), ")"))
	case strings.HasPrefix(how, "table["):
		c.faults.add(src.how.at, "a table stands in parentheses: table(%s)", strings.TrimSuffix(strings.TrimPrefix(how, "table["), "]"))
		return false
	case strings.Contains(how, "["):
		return c.mapHow(r, src)
	}
	switch how {
	case "lines":
		r.join, r.write = true, joined
		return c.typed(src.how, r.to.def, "string", "markdown") && c.placedOnly(r, src)
	case "text":
		r.join, r.write = true, attachText
		return c.typed(src.how, r.to.def, "Attachment") && c.placedOnly(r, src)
	case "file":
		r.write = attach
		return c.typed(src.how, r.to.def, "Attachment") && c.placedOnly(r, src)
	case "width":
		r.write = pixels(width)
		return c.typed(src.how, r.to.def, "positiveInt", "unsignedInt", "integer")
	case "height":
		r.write = pixels(height)
		return c.typed(src.how, r.to.def, "positiveInt", "unsignedInt", "integer")
	case "system":
		t, ok := c.table(text{codingSystems, src.how.at})
		if ok = ok && c.typed(src.how, r.to.def, "uri"); ok {
			r.write, r.convert, r.proof = codingSystem(t, r.to.def), unknownSystem, proofs[how]
		}
		return ok
	}
	convert, ok := conversions[how]
	if !ok {
		c.faults.add(src.how.at, "no conversion, table(…) or map %s%s", how, c.meantHow(how, typ))
		return false
	}
	if !c.typed(src.how, r.to.def, how) {
		return false
	}
	if bound(r.to.def) && (r.value == nil || !r.value.constant) {
		c.faults.add(src.how.at, "%s takes only the codes of its required value set: use table(…)", r.to.def.Name)
		return false
	}
	if r.from != nil && !leads(how) && composite(r.from.datatype) {
		why := "name a component, such as " + src.from.s + ".1"
		if name := r.from.datatype + "[" + typ.Name + "]"; c.sources[name] != nil {
			why += ", or the map " + name
		}
		c.faults.add(src.from.at, "%s is a %s, not a single value: %s", src.from.s, r.from.datatype, why)
		return false
	}
	if r.value != nil && r.value.constant {
		given := text{r.value.str(nil), src.from.at}
		out, why := convert(&run{zone: clock{zone: time.UTC}}, given.s)
		if why != "" {
			c.faults.add(given.at, "%q is no %s: %s", given.s, how, why)
			return false
		}
		if !c.fits(text{out, given.at}, r.to.def) {
			return false
		}
		if literalHow(how) {
			k, _ := fhir.NewConstant(r.to.def, out) // cannot fail: typed
			r.write = fixed(k)
			return true
		}
	}
	r.write, r.convert, r.plain = primitive, convert, true
	if !bound(r.to.def) {
		r.proof = proofs[how]
	}
	r.lead = (leads(how) || how == "code") && r.from != nil && r.from.comp == 0
	return true
}

// meantHow guesses what a HOW was to be that is none: a table or a map without its brackets, a word mistyped.
func (c *compiler) meantHow(how string, typ *fhir.Type) string {
	if c.sources[how+"["+typ.Name+"]"] != nil {
		return fmt.Sprintf("; did you mean %q?", how+"["+typ.Name+"]")
	}
	if how == typ.Name { // the type that it is to become: from which data types there are maps to it
		var maps []string
		for name := range c.sources {
			if from, ok := strings.CutSuffix(name, "["+how+"]"); ok && !hl7.LookupSegment(from) {
				maps = append(maps, strconv.Quote(name))
			}
		}
		if slices.Sort(maps); len(maps) > 0 {
			return "; did you mean " + strings.Join(maps, " or ") + "?"
		}
	}
	return c.meantTable(how, hows)
}

// meantTable is the same of what there is in either direction.
func (c *compiler) meantTable(how string, known []named) string {
	word, name, called := strings.Cut(how, "(")
	switch {
	case c.tables[how] != nil:
		return fmt.Sprintf("; did you mean %q?", "table("+how+")")
	case called && meant(word, []string{"table"}) != "":
		return fmt.Sprintf("; did you mean %q?", "table("+name)
	}
	return meant(how, namesOf(known))
}

// literalHow tells the conversions that need nothing but the text.
func literalHow(how string) bool {
	switch how {
	case "string", "markdown", "code", "id", "uri", "url", "canonical", "boolean":
		return true
	}
	return false
}

// composite tells a data type of several components.
func composite(datatype string) bool {
	list, known := hl7.LookupDatatype(datatype)
	return known && len(list) > 1 && datatype != "TS"
}

// typed holds the type that a HOW gives against the element's.
func (c *compiler) typed(how text, d *fhir.ElementDef, gives ...string) bool {
	typ := d.Type
	if slices.Contains(gives, typ.Name) || bound(d) && slices.Contains(gives, "code") {
		return true
	}
	c.faults.add(how.at, "%s gives %s, and the element is %s", how.s, strings.Join(gives, " or "), typ.Name)
	return false
}

func (c *compiler) placedOnly(r *rule, src srcRule) bool {
	if r.from != nil {
		return true
	}
	c.faults.add(src.how.at, "%s reads a place, not a computed value", src.how.s)
	return false
}

func (c *compiler) table(t text) (*table, bool) {
	c.needs.note("table " + t.s)
	found, ok := c.tables[t.s]
	if !ok {
		c.faults.add(t.at, "no table %s%s", t.s, meant(t.s, keys(c.tables)))
		return nil, false
	}
	found.used = true
	return found, true
}

func (c *compiler) tableHow(r *rule, src srcRule, name string) bool {
	t, ok := c.table(text{name, src.how.at.plus(len("table("))})
	if !ok {
		return false
	}
	switch typ := r.to.def.Type; {
	case typ.Name == "CodeableConcept" || typ.Name == "Coding":
		if t.system.s == "" {
			c.faults.add(src.how.at, "table %s needs system: to give a %s", name, typ.Name)
			return false
		}
		r.write = tabled(t, r.to.def)
		c.fitting(t, codeOf(r.to.def))
	case typ.Kind == fhir.Primitive:
		r.write = tabled(t, r.to.def)
		c.fitting(t, r.to.def)
	default:
		c.faults.add(src.how.at, "a table gives a code, and the element is a %s", typ.Name)
		return false
	}
	return true
}

// fitting holds what a table gives against the element that it is written to.
func (c *compiler) fitting(t *table, d *fhir.ElementDef) {
	for _, code := range t.list {
		c.fits(code.to, d)
	}
	if t.otherwise.s != "" {
		c.fits(t.otherwise, d)
	}
}

func (c *compiler) mapHow(r *rule, src srcRule) bool {
	p := c.program(src.how)
	if p == nil || p.typ == nil {
		return false
	}
	from := p.src.from
	if isSegment(from) {
		c.faults.add(src.how.at, "%s reads a whole segment: list it under resources", src.how.s)
		return false
	}
	refers := r.to.def.Type.Name == "Reference" && p.typ.Kind == fhir.Resource
	if refers && r.to.def.Targets != nil && !slices.Contains(r.to.def.Targets, p.typ.Name) {
		c.faults.add(src.how.at, "%s may not point at a %s; want %s", src.to.s, p.typ.Name, strings.Join(r.to.def.Targets, ", "))
		return false
	}
	if p.typ != r.to.def.Type && !refers {
		c.faults.add(src.how.at, "%s gives %s, and %s is %s", src.how.s, p.typ.Name, src.to.s, r.to.def.Type.Name)
		return false
	}
	if r.from == nil {
		c.faults.add(src.how.at, "%s reads a place, not a computed value", src.how.s)
		return false
	}
	if !reads(from, r.from.datatype) {
		c.faults.add(src.how.at, "%s reads %s, and %s is %s", src.how.s, from, src.from.s, r.from.datatype)
		return false
	}
	if r.write = mapped(p); refers {
		reference, _ := r.to.def.Type.Element("reference")
		r.write = referred(p, reference)
	}
	return c.whole(r, src, p)
}

// bound tells an element that takes only the codes of a required value set.
func bound(d *fhir.ElementDef) bool { return d.Binding != nil }
