package fhir

import (
	_ "embed"
	"encoding/json"
	"strings"
	"sync"

	"golang.org/x/text/language"
)

// ukCoreFile holds what the profiles of UK Core ask beyond R4. ukcore_test.go makes it from HL7 UK's own files.
//
//go:embed ukcore.json
var ukCoreFile []byte

// profiles is the form of ukcore.json.
type profiles struct {
	About     string             `json:"about"`
	Profiles  []profiled         `json:"profiles"`
	ValueSets map[string][]coded `json:"valueSets"` // that a binding requires; null: every language of BCP 47
}

type profiled struct {
	Type     string   `json:"type"`
	URL      string   `json:"url"`
	Version  string   `json:"version"`
	Elements []*asked `json:"elements,omitempty"`
}

// asked is what a profile asks of an element, or of those repetitions of it that are one slice.
type asked struct {
	Name      string   `json:"name,omitempty"`
	Slice     string   `json:"slice,omitempty"`
	By        string   `json:"by,omitempty"` // the child that tells the slice, which is Is
	Is        string   `json:"is,omitempty"`
	Min       int      `json:"min,omitempty"`
	Max       *int     `json:"max,omitempty"`
	Types     []string `json:"types,omitempty"`    // of value[x]
	ValueSet  string   `json:"valueSet,omitempty"` // of a required binding
	Invariant string   `json:"invariant,omitempty"`
	Human     string   `json:"human,omitempty"` // what the invariant says
	Elements  []*asked `json:"elements,omitempty"`
}

type coded struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

// part is what a profile asks of the children of an element, ready to be checked.
type part struct {
	name     string      // as the specification writes it: value[x]
	label    string      // with its slice: "identifier nhsNumber"
	bit      present     // of the children
	by       *ElementDef // child that tells those of the slice; nil: all
	is       string
	min, max int             // max -1: any number
	types    map[string]bool // nil: any
	set      *valueSet       // nil: any code
	inside   []*part
	broken   func(Element) bool // an invariant of the element itself
	human    string
}

// ukCoreInvariants are the rules of the profiles of which a breach is an error, by key.
var ukCoreInvariants = map[string]func(Element) bool{
	"ukcore-diag-lab-002": func(report Element) bool {
		later, own := false, false
		for m := range report.Children("media") {
			own = own || m.Child("link").Child("reference").OK()
			for x := range m.Children("extension") {
				later = later || x.Child("url").Text() == "http://hl7.org/fhir/5.0/StructureDefinition/extension-DiagnosticReport.media.link"
			}
		}
		return later && own
	},
}

// ukCore is the file, read once.
var ukCore = sync.OnceValue(func() *published {
	var f profiles
	if err := json.Unmarshal(ukCoreFile, &f); err != nil {
		panic("fhir: ukcore.json: " + err.Error()) // part of the program, and a test makes it
	}
	u := &published{profiles: map[string]profiled{}, sets: map[string]*valueSet{}}
	for _, p := range f.Profiles {
		u.profiles[p.Type] = p
	}
	for url, list := range f.ValueSets {
		v := &valueSet{name: url[strings.LastIndexByte(url, '/')+1:], languages: list == nil, codes: make(map[coded]bool, len(list))}
		for _, m := range list {
			v.codes[m] = true
		}
		u.sets[url] = v
	}
	return u
})

type published struct {
	profiles map[string]profiled // by resource type
	sets     map[string]*valueSet
}

// profile makes the profile of a resource type that is whole; nil when there is none.
func (u *published) profile(t *Type) *Profile {
	from, ok := u.profiles[t.Name]
	if !ok {
		return nil
	}
	meta := t.byName["meta"]
	claim, err := NewConstant(meta.Type.byName["profile"], from.URL)
	if err != nil {
		panic("fhir: ukcore.json: " + err.Error())
	}
	p := &Profile{URL: from.URL, Version: from.Version, name: from.URL[strings.LastIndexByte(from.URL, '/')+1:], meta: meta, claim: claim}
	p.parts = u.parts(t, from.Elements)
	for _, part := range p.parts {
		p.about |= part.bit
	}
	return p
}

// parts makes what is asked of the elements of a type.
func (u *published) parts(t *Type, list []*asked) []*part {
	var out []*part
	for _, a := range list {
		p := &part{name: a.Name, label: strings.TrimSpace(a.Name + " " + a.Slice), is: a.Is, min: a.Min, max: -1, human: a.Human,
			broken: ukCoreInvariants[a.Invariant], set: u.sets[a.ValueSet]}
		if a.Max != nil {
			p.max = *a.Max
		}
		for _, typ := range a.Types {
			if p.types == nil {
				p.types = map[string]bool{}
			}
			p.types[typ] = true
		}
		switch child := t.asked(a.Name); {
		case a.Invariant != "" && p.broken != nil:
			p.bit = ^present(0)
		case child == nil || a.ValueSet != "" && p.set == nil:
			panic("fhir: ukcore.json: " + t.Name + "." + a.Name + " cannot be checked")
		default:
			p.bit, p.by = child.bit(), child.Type.byName[a.By]
			if p.by == nil && a.By != "" {
				panic("fhir: ukcore.json: " + t.Name + "." + a.Name + " has no " + a.By)
			}
			p.inside = u.parts(child.Type, a.Elements)
		}
		out = append(out, p)
	}
	return out
}

// asked finds an element by its name in the specification, of a choice its first form; nil when there is none.
func (t *Type) asked(name string) *ElementDef {
	for _, d := range t.Elements {
		if d.Shown() == name {
			return d
		}
	}
	return nil
}

// valueSet is the codes of a required binding.
type valueSet struct {
	name      string
	languages bool // every language of BCP 47
	codes     map[coded]bool
}

// has tells whether one of the codes that an element holds is of the set.
func (v *valueSet) has(e Element) bool {
	switch e.n().typ.Name {
	case "CodeableConcept":
		for c := range e.Children("coding") {
			if v.has(c) {
				return true
			}
		}
		return false
	case "Coding":
		return v.holds(coded{e.Child("system").Text(), e.Child("code").Text()})
	}
	for m := range v.codes { // a code has no system
		if m.Code == e.Text() {
			return true
		}
	}
	return false
}

func (v *valueSet) holds(m coded) bool {
	if !v.languages {
		return v.codes[m]
	}
	if m.System != "urn:ietf:bcp:47" || strings.Contains(m.Code, "_") { // Parse takes it for a hyphen
		return false
	}
	_, err := language.Parse(m.Code)
	return err == nil
}
