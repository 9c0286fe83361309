package fhir

import (
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Profile is the UK Core profile of a resource type, ready to be checked.
type Profile struct {
	URL     string // canonical, without a version
	Version string
	name    string // "UKCore-Patient"
	parts   []*part
	about   present // elements that parts are about
	meta    *ElementDef
	claim   *Constant // URL, in meta.profile
}

// Profile gives the UK Core profile of a resource type, nil for a type that has none.
func (t *Type) Profile() *Profile { return t.profile }

// Meets tells whether a resource of the profile's type, valid by R4, meets the profile. What a profile only asks a
// receiver to support (mustSupport), and what it recommends (preferred and extensible bindings), keeps no resource
// from meeting it.
func (p *Profile) Meets(e Element) bool {
	if e.n().has&p.about == 0 {
		return true
	}
	a := assessor{p: p}
	a.parts(e, p.parts)
	return !a.failed
}

// Faults gives what keeps a resource from meeting the profile, of severity information: a resource that is valid by
// R4 may be sent all the same, it must not claim the profile. Places are FHIR paths.
func (p *Profile) Faults(e Element) issue.List {
	a := assessor{p: p, tell: true}
	a.parts(e, p.parts)
	return a.found
}

// Declare writes into meta.profile of a resource that it meets the UK Core profile of its type, and takes out the
// claim of one that does not. Other profiles that it claims stay. It tells whether the profile stands there.
func (e Element) Declare() bool {
	p := e.Type().Profile()
	if p == nil {
		return false
	}
	meets, meta := p.Meets(e), e.ChildDef(p.meta)
	for claim := range meta.ChildrenDef(p.claim.def) {
		if url, _, _ := strings.Cut(claim.Text(), "|"); url != p.URL {
			continue
		}
		if meets {
			return true
		}
		claim.Remove()
	}
	switch {
	case meets && !meta.OK():
		meta = e.insert(p.meta, p.meta.Type)
		fallthrough
	case meets:
		meta.set(p.claim.def, p.claim.text, p.claim.data)
	case meta.OK() && meta.n().first == 0:
		meta.Remove()
	}
	return meets
}

// assessor holds a resource against a profile.
type assessor struct {
	p      *Profile
	tell   bool // list what is found; else the first fault ends it
	failed bool
	found  issue.List
}

// fault notes trouble with a child of e, or with e itself when name is "".
func (a *assessor) fault(k issue.Kind, e Element, name, text string) {
	a.failed = true
	if !a.tell || len(a.found) >= mostFaults {
		return
	}
	where := e.Path()
	if name != "" {
		where += "." + name
	}
	a.found = append(a.found, &issue.Issue{Kind: k, Severity: issue.Information, Where: where, Text: text + " (" + a.p.name + ")"})
}

// parts holds an element against what is asked of it.
func (a *assessor) parts(e Element, parts []*part) {
	if len(parts) == 0 {
		return
	}
	has := e.n().has
	for _, p := range parts {
		switch {
		case a.failed && !a.tell:
			return
		case p.broken != nil:
			if p.broken(e) {
				a.fault(issue.Value, e, "", p.human)
			}
		case has&p.bit == 0:
			if p.min > 0 {
				a.fault(issue.Required, e, p.name, "required")
			}
		default:
			a.part(e, p)
		}
	}
}

// part holds the children of an element against one thing that is asked of them.
func (a *assessor) part(e Element, p *part) {
	n := 0
	for i := e.n().first; i != 0; {
		c := Element{e.t, i}
		i = c.n().next
		if c.n().def.bit() != p.bit || p.by != nil && c.ChildDef(p.by).Text() != p.is {
			continue
		}
		if n++; p.max >= 0 && n > p.max {
			a.fault(issue.Value, c, "", "more "+p.label+" than the profile takes")
		}
		a.one(c, p)
	}
	if n < p.min {
		a.fault(issue.Required, e, p.name, p.label+" required")
	}
}

// one holds one element.
func (a *assessor) one(c Element, p *part) {
	switch {
	case p.types != nil && !p.types[c.n().typ.Name]:
		a.fault(issue.Value, c, "", "of a type that the profile does not take here")
	case p.set != nil && !p.set.has(c):
		a.fault(issue.Code, c, "", "a code of the value set "+p.set.name+" is required")
	}
	a.parts(c, p.inside)
}
