package fhir

import (
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// rule is an invariant of a type: it reports what is wrong with an element of that type.
type rule func(v *validator, e Element)

// invariants gives the invariants of a type that are checked here, by their names in FHIR R4: those that
// catch loss or contradiction in a referral. google/fhir checks none.
func invariants(typ string) []rule {
	switch typ {
	case "Extension":
		return []rule{extension}
	case "Period":
		return []rule{period}
	case "Attachment":
		return []rule{needs("data", "contentType", "att-1")}
	case "Quantity":
		return []rule{needs("code", "system", "qty-3")}
	case "ContactPoint":
		return []rule{needs("value", "system", "cpt-2")}
	case "ServiceRequest":
		return []rule{nested, needs("orderDetail", "code", "prr-1")}
	case "Organization":
		return []rule{nested, oneOf("org-1", "identifier", "name")}
	case "Patient.contact":
		return []rule{oneOf("pat-1", "name", "telecom", "address", "organization")}
	case "Consent":
		return []rule{nested, oneOf("ppc-1", "policy", "policyRule")}
	case "Parameters.parameter":
		return []rule{parameter}
	case "Observation":
		return []rule{nested, observation}
	case "Bundle":
		return []rule{bundle}
	}
	return []rule{nested}
}

// needs reports an element that stands without the one it needs.
func needs(name, other, key string) rule {
	return func(v *validator, e Element) {
		if e.Child(name).OK() && !e.Child(other).OK() {
			v.fault(issue.Required, e, other, "required with "+name+" ("+key+")")
		}
	}
}

// oneOf reports an element that has none of some.
func oneOf(key string, names ...string) rule {
	return func(v *validator, e Element) {
		for _, n := range names {
			if e.Child(n).OK() {
				return
			}
		}
		text := "required, or "
		for i, n := range names[1:] {
			if i > 0 {
				text += " or "
			}
			text += n
		}
		v.fault(issue.Required, e, names[0], text+" ("+key+")")
	}
}

// choice gives the element of a choice that is there.
func (e Element) choice(name string) Element {
	for c := range e.Children("") {
		if c.n().def.Choice == name {
			return c
		}
	}
	return Element{}
}

// extension is ext-1: a value or further extensions, one of them.
func extension(v *validator, e Element) {
	value, more := e.choice("value").OK(), e.Child("extension").OK()
	if value == more {
		v.fault(issue.Structure, e, "", "an extension has either a value or extensions (ext-1)")
	}
}

// parameter is inv-1 of Parameters.
func parameter(v *validator, e Element) {
	n := 0
	for _, is := range [...]bool{e.choice("value").OK(), e.Child("resource").OK(), e.Child("part").OK()} {
		if is {
			n++
		}
	}
	if n != 1 {
		v.fault(issue.Structure, e, "", "a parameter has one of value, resource and part (inv-1)")
	}
}

// nested is dom-2: what a resource contains contains nothing. Other types than resources have no
// contained.
func nested(v *validator, e Element) {
	if d := e.Def(); d != nil && d.Name == "contained" && e.Child("contained").OK() {
		v.fault(issue.Structure, e, "contained", "a contained resource contains none (dom-2)")
	}
}

// observation is obs-6.
func observation(v *validator, e Element) {
	if e.Child("dataAbsentReason").OK() && e.choice("value").OK() {
		v.fault(issue.Structure, e, "dataAbsentReason", "a reason for no value beside a value (obs-6)")
	}
}

// bundle is bdl-12: a message begins with its MessageHeader.
func bundle(v *validator, e Element) {
	if v.message && e.At("entry[0].resource").Name() != "" && e.At("entry[0].resource").Type().Name != "MessageHeader" {
		v.fault(issue.Structure, e, "entry[0].resource", "a message begins with a MessageHeader (bdl-12)")
	}
}

// period is per-1: it does not end before it starts. Times of different precision are compared as far as
// both go.
func period(v *validator, e Element) {
	start, end := e.Child("start").Text(), e.Child("end").Text()
	if start != "" && end != "" && later(start, end) {
		v.fault(issue.Value, e, "end", "before the start (per-1)")
	}
}

// later tells whether a moment certainly comes after another; never for what is no moment.
func later(a, b string) bool {
	const day = len("2006-01-02")
	if len(a) > day && len(b) > day {
		x, errX := time.Parse(time.RFC3339, a)
		y, errY := time.Parse(time.RFC3339, b)
		return errX == nil && errY == nil && x.After(y)
	}
	n := min(len(a), len(b), day)
	return a[:n] > b[:n]
}
