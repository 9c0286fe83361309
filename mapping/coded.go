package mapping

import (
	"strings"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// fixed writes a computed value that is the same for every message.
func fixed(c *fhir.Constant) writer {
	return func(r *rule, s *scope) bool { return r.setConstant(s, c) }
}

// tabled writes by a table: a code as it is, a Coding or CodeableConcept with the table's system.
func tabled(t *table, d *fhir.ElementDef) writer {
	var put func(r *rule, s *scope, code *fhir.Constant) bool
	if d.Type.Kind == fhir.Primitive {
		put = (*rule).setConstant
	} else {
		put, d = coded(t, d.Type)
	}
	codes, other := t.constants(d)
	return func(r *rule, s *scope) bool {
		in, _ := r.given(s, true)
		out, ok := under(codes, in)
		if !ok {
			out = other
		}
		if out == nil {
			if !t.quiet && in != "" {
				s.run.warn(issue.Code, r.where(s), "a code that table "+t.name+" does not list")
			}
			return false
		}
		return put(r, s, out)
	}
}

// codeOf gives the primitive that a table writes to an element.
func codeOf(d *fhir.ElementDef) *fhir.ElementDef {
	typ := d.Type
	if typ.Name == "CodeableConcept" {
		coding, _ := typ.Element("coding")
		typ = coding.Type
	}
	if typ.Name == "Coding" {
		d, _ = typ.Element("code")
	}
	return d
}

// coded writes a Coding or CodeableConcept around a code, the element given.
func coded(t *table, typ *fhir.Type) (put func(*rule, *scope, *fhir.Constant) bool, code *fhir.ElementDef) {
	concept, coding := (*fhir.ElementDef)(nil), typ
	if typ.Name == "CodeableConcept" {
		concept, _ = typ.Element("coding")
		coding = concept.Type
	}
	def, _ := coding.Element("system")
	system, _ := fhir.NewConstant(def, t.system.s) // cannot fail: a primitive
	code, _ = coding.Element("code")
	return func(r *rule, s *scope, c *fhir.Constant) bool {
		el, ok := r.add(s)
		if !ok {
			return false
		}
		if concept != nil {
			el, _ = el.AddDef(concept) // cannot fail: el is new
		}
		_ = el.SetConstant(system)
		_ = el.SetConstant(c)
		s.run.use(s.in.v)
		r.traced(s, el, nil)
		return true
	}, code
}

// codingSystem writes a coding system's uri for the name a message gives it: by the table CodingSystem, as it
// is when it is a uri or an OID, else under urn:id: so that nothing is taken for a system it is not.
func codingSystem(t *table, d *fhir.ElementDef) writer {
	known, _ := t.constants(d)
	return func(r *rule, s *scope) bool {
		in, clean := r.given(s, false)
		if m := &s.run.unlisted; in != "" && in == m.in {
			return r.setText(s, m.out, m.proven)
		}
		if c, ok := under(known, strings.TrimSpace(in)); ok {
			return r.setConstant(s, c)
		}
		out, proven := r.convertedOf(s, in, clean)
		if out == "" {
			return false
		}
		s.run.unlisted = again{in: in, out: out, proven: proven}
		return r.setText(s, out, proven)
	}
}

// again is the last result of a conversion that messages ask for many times over.
type again struct {
	in, out string
	proven  bool
	unsure  bool
}

// shortestOID is where the last dot of an OID stands at the earliest: a shorter one (1.2.3) names a country or a
// standards body, never who assigns numbers, and HL7's validator refuses it.
const shortestOID = 5

// unknownSystem is codingSystem for a name that the table does not have.
func unknownSystem(r *run, in string) (string, string) {
	in = strings.TrimSpace(in)
	switch {
	case in == "":
		return "", ""
	case strings.Contains(in, "://"), strings.HasPrefix(in, "urn:"):
		if out, why := uriText(r, in); why == "" {
			return out, ""
		}
	case isOID(in) && strings.LastIndexByte(in, '.') >= shortestOID:
		return r.prefixed("urn:oid:", in), ""
	}
	return uriText(r, r.prefixed("urn:id:", in))
}
