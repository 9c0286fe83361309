package fhir

import (
	"strings"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// rule is an invariant of a type: it reports what is wrong with an element of that type.
type rule func(v *validator, e Element, has present)

// invariants gives the invariants of a type that are checked here, by their names in FHIR R4: those that
// catch loss or contradiction in a referral. google/fhir checks none.
func invariants(t *Type) []rule {
	var rules []rule
	if has := t.bits("contained"); has != 0 {
		rules = append(rules, nested(has))
	}
	switch t.Name {
	case "Extension":
		return append(rules, extension(t.bits("value"), t.bits("extension")))
	case "Period":
		return append(rules, period(t.bits("start", "end")))
	case "Attachment":
		return append(rules, t.pair("data", "contentType", "att-1"))
	case "Quantity":
		return append(rules, t.pair("code", "system", "qty-3"))
	case "ContactPoint":
		return append(rules, t.pair("value", "system", "cpt-2"))
	case "ServiceRequest":
		return append(rules, t.pair("orderDetail", "code", "prr-1"))
	case "Organization":
		return append(rules, t.oneOf("org-1", "identifier", "name"))
	case "Patient.contact":
		return append(rules, t.oneOf("pat-1", "name", "telecom", "address", "organization"))
	case "Consent":
		return append(rules, t.oneOf("ppc-1", "policy", "policyRule"))
	case "Parameters.parameter":
		return append(rules, parameter(t.bits("value"), t.bits("resource"), t.bits("part")))
	case "Appointment.participant":
		return append(rules, t.oneOf("app-1", "type", "actor"))
	case "Appointment":
		return append(rules, appointment(t.bits("start"), t.bits("end"), t.bits("cancelationReason")))
	case "Observation":
		return append(rules, observation(t.bits("dataAbsentReason"), t.bits("value")))
	case "Bundle":
		return append(rules, bundle)
	}
	return rules
}

// bits gives the set of some elements, a choice by its own name.
func (t *Type) bits(names ...string) (set present) {
	for _, d := range t.Elements {
		for _, n := range names {
			if d.Name == n || d.Choice == n {
				set |= d.bit()
			}
		}
	}
	return set
}

// pair reports an element that stands without the one it needs.
func (t *Type) pair(name, other, key string) rule {
	one, both := t.bits(name), t.bits(name, other)
	return func(v *validator, e Element, has present) {
		if has&both == one {
			v.fault(issue.Required, e, other, "required with "+name+" ("+key+")")
		}
	}
}

// oneOf reports an element that has none of some.
func (t *Type) oneOf(key string, names ...string) rule {
	text := "required, or " + strings.Join(names[1:], " or ") + " (" + key + ")"
	any := t.bits(names...)
	return func(v *validator, e Element, has present) {
		if has&any == 0 {
			v.fault(issue.Required, e, names[0], text)
		}
	}
}

// extension is ext-1: a value or further extensions, one of them.
func extension(value, more present) rule {
	return func(v *validator, e Element, has present) {
		if (has&value != 0) == (has&more != 0) {
			v.fault(issue.Structure, e, "", "an extension has either a value or extensions (ext-1)")
		}
	}
}

// parameter is inv-1 of Parameters.
func parameter(value, resource, part present) rule {
	return func(v *validator, e Element, has present) {
		switch has & (value | resource | part) {
		case value, resource, part:
		default:
			v.fault(issue.Structure, e, "", "a parameter has one of value, resource and part (inv-1)")
		}
	}
}

// nested is dom-2: what a resource contains contains nothing.
func nested(contained present) rule {
	return func(v *validator, e Element, has present) {
		if has&contained == 0 {
			return
		}
		if d := e.Def(); d != nil && d.Name == "contained" {
			v.fault(issue.Structure, e, "contained", "a contained resource contains none (dom-2)")
		}
	}
}

// observation is obs-6.
func observation(absent, value present) rule {
	return func(v *validator, e Element, has present) {
		if has&absent != 0 && has&value != 0 {
			v.fault(issue.Structure, e, "dataAbsentReason", "a reason for no value beside a value (obs-6)")
		}
	}
}

// appointment is app-2, app-3 and app-4: a start goes with an end, only one that is proposed, cancelled or on a
// waiting list lacks them, and only one that is cancelled or was not attended says why.
func appointment(start, end, reason present) rule {
	return func(v *validator, e Element, has present) {
		status := e.Child("status").Text()
		switch {
		case has&start != 0 && has&end == 0:
			v.fault(issue.Required, e, "end", "required with start (app-2)")
		case has&start == 0 && has&end != 0:
			v.fault(issue.Required, e, "start", "required with end (app-2)")
		case has&start == 0 && status != "proposed" && status != "cancelled" && status != "waitlist":
			v.fault(issue.Required, e, "start", "required unless proposed, cancelled or on a waiting list (app-3)")
		}
		if has&reason != 0 && status != "cancelled" && status != "noshow" {
			v.fault(issue.Structure, e, "cancelationReason", "of what is neither cancelled nor missed (app-4)")
		}
	}
}

// bundle is bdl-12: a message begins with its MessageHeader.
func bundle(v *validator, e Element, _ present) {
	if v.message && e.At("entry[0].resource").Name() != "" && e.At("entry[0].resource").Type().Name != "MessageHeader" {
		v.fault(issue.Structure, e, "entry[0].resource", "a message begins with a MessageHeader (bdl-12)")
	}
}

// period is per-1: it does not end before it starts. Times of different precision are compared as far as
// both go.
func period(both present) rule {
	return func(v *validator, e Element, has present) {
		if has&both != both {
			return
		}
		start, end := e.Child("start").Text(), e.Child("end").Text()
		if start != "" && end != "" && later(start, end) {
			v.fault(issue.Value, e, "end", "before the start (per-1)")
		}
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
