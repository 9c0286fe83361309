package fhir

import (
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// rule is an invariant of a type: it reports what is wrong with an element of that type.
type rule func(v *validator, e Element, has present)

// constrain gives a type the invariants that are checked here, by their names in FHIR R4: those that catch loss or
// contradiction in a referral. google/fhir checks none.
func constrain(t *Type) {
	if has := t.bits("contained"); has != 0 {
		t.rules = append(t.rules, nested(has))
	}
	switch t.Name {
	case "Extension":
		t.ties = []tie{t.oneOf("ext-1", "value", "extension")}
		t.clash = t.excess("ext-1", "extension", "value")
	case "Period":
		t.clash = period(t.bits("start", "end"))
	case "Attachment":
		t.ties = []tie{t.pair("data", "contentType", "att-1")}
	case "Quantity":
		t.ties = []tie{t.pair("code", "system", "qty-3")}
	case "ContactPoint":
		t.ties = []tie{t.pair("value", "system", "cpt-2")}
	case "ServiceRequest":
		t.ties = []tie{t.pair("orderDetail", "code", "prr-1")}
	case "Organization":
		t.ties = []tie{t.oneOf("org-1", "identifier", "name")}
	case "Patient.contact":
		t.ties = []tie{t.oneOf("pat-1", "name", "telecom", "address", "organization")}
	case "Consent":
		t.ties = []tie{t.oneOf("ppc-1", "policy", "policyRule")}
	case "Parameters.parameter":
		t.ties = []tie{t.oneOf("inv-1", "value", "resource", "part")}
		t.clash = t.excess("inv-1", "part", "resource", "value")
	case "Appointment.participant":
		t.ties = []tie{t.oneOf("app-1", "type", "actor")}
	case "Appointment":
		t.ties = []tie{t.pair("start", "end", "app-2"), t.pair("end", "start", "app-2")}
		t.lack, t.clash = unplanned(t.named("start")), uncalled(t.bits("cancelationReason"))
	case "Observation":
		t.clash = t.excess("obs-6", "dataAbsentReason", "value")
	case "Bundle":
		t.rules = append(t.rules, bundle)
	}
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

// tie is an invariant of what stands together: where one of when is there (always, when it is 0), one of want must be.
type tie struct {
	when, want present
	lacks      *ElementDef // the one to name
	text       string
}

func (t *tie) broken(has present) bool { return (t.when == 0 || has&t.when != 0) && has&t.want == 0 }

// pair is an element that cannot stand without another.
func (t *Type) pair(name, other, key string) tie {
	return tie{t.bits(name), t.bits(other), t.named(other), "required with " + name + " (" + key + ")"}
}

// oneOf is for a type that must have one of some.
func (t *Type) oneOf(key string, names ...string) tie {
	return tie{0, t.bits(names...), t.named(names[0]), "required, or " + strings.Join(names[1:], " or ") + " (" + key + ")"}
}

// named gives an element, of a choice the first form.
func (t *Type) named(name string) *ElementDef {
	for _, d := range t.Elements {
		if d.Name == name || d.Choice == name {
			return d
		}
	}
	return nil
}

// clash finds the child that may not stand beside another one of its element, and tells why.
type clash func(e Element, has present) (child Element, why string)

// lack finds what is missing because of what another element of an element says, and tells why it is needed.
type lack func(e Element, has present) (*ElementDef, string)

// excess is for a type of which some elements exclude each other; the first named of those that are there is one too
// many.
func (t *Type) excess(key string, names ...string) clash {
	var sets []present
	for _, n := range names {
		sets = append(sets, t.bits(n))
	}
	why := "not beside " + strings.Join(names[1:], " or ") + " (" + key + ")"
	return func(e Element, has present) (Element, string) {
		for i, one := range sets {
			others := present(0)
			for _, o := range sets[i+1:] {
				others |= o
			}
			if has&one == 0 || has&others == 0 {
				continue
			}
			for c := range e.Children("") {
				if c.Def().bit() == one {
					return c, why
				}
			}
		}
		return Element{}, ""
	}
}

// period is per-1: it does not end before it starts. Times of different precision are compared as far as both go.
func period(both present) clash {
	return func(e Element, has present) (Element, string) {
		if has&both != both {
			return Element{}, ""
		}
		start, end := e.Child("start").Text(), e.Child("end")
		if start != "" && end.Text() != "" && later(start, end.Text()) {
			return end, "before the start (per-1)"
		}
		return Element{}, ""
	}
}

// Demanding tells a type whose elements depend on each other or must be there: one of it can be incomplete.
func (t *Type) Demanding() bool {
	return t.needs != 0 || len(t.ties) > 0 || t.clash != nil || t.lack != nil
}

// Linkable tells whether a reference would fill what Missing or Lacking name.
func (t *Type) Linkable(d *ElementDef) bool {
	return d.Type.refers != nil || slices.ContainsFunc(t.ties, func(x tie) bool {
		return x.lacks == d && slices.ContainsFunc(t.Elements, func(o *ElementDef) bool { return o.Type.refers != nil && o.bit()&x.want != 0 })
	})
}

// Missing gives an element that is missing beside elements of the given names, as Lacking does for an element that is
// there, and says why it is needed; nil when none is. Where one of several would do, it is the first.
func (t *Type) Missing(names map[string]bool) (d *ElementDef, why string) {
	has := present(0)
	for _, d := range t.Elements {
		if names[d.Name] || d.Choice != "" && names[d.Choice] {
			has |= d.bit()
		}
	}
	return t.missing(has)
}

func (t *Type) missing(has present) (*ElementDef, string) {
	if t.needs&^has != 0 {
		for _, d := range t.required {
			if d.bit()&has == 0 {
				return d, "required"
			}
		}
	}
	for i := range t.ties {
		if t.ties[i].broken(has) {
			return t.ties[i].lacks, t.ties[i].text
		}
	}
	return nil, ""
}

// Excess gives a child of an element that may not stand beside another one, and why: an end before the start, a reason
// for the absence of a value that is there. None when all may.
func (e Element) Excess() (child Element, why string) {
	if e.n().typ.clash == nil {
		return Element{}, ""
	}
	return e.n().typ.clash(e, e.n().has)
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

// unplanned is app-3: only what is proposed, cancelled or on a waiting list has no start.
func unplanned(start *ElementDef) lack {
	return func(e Element, has present) (*ElementDef, string) {
		if has&start.bit() == 0 && !slices.Contains([]string{"proposed", "cancelled", "waitlist"}, e.Child("status").Text()) {
			return start, "required unless proposed, cancelled or on a waiting list (app-3)"
		}
		return nil, ""
	}
}

// uncalled is app-4: only what is cancelled or was not attended says why.
func uncalled(reason present) clash {
	return func(e Element, has present) (Element, string) {
		if status := e.Child("status").Text(); has&reason != 0 && status != "cancelled" && status != "noshow" {
			return e.Child("cancelationReason"), "of what is neither cancelled nor missed (app-4)"
		}
		return Element{}, ""
	}
}

// bundle is bdl-12: a message begins with its MessageHeader.
func bundle(v *validator, e Element, _ present) {
	if v.message && e.At("entry[0].resource").Name() != "" && e.At("entry[0].resource").Type().Name != "MessageHeader" {
		v.fault(issue.Structure, e, "entry[0].resource", "a message begins with a MessageHeader (bdl-12)")
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
