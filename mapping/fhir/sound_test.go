package fhir

import (
	"strings"
	"testing"
)

func def(t *testing.T, typ, name string) *ElementDef {
	t.Helper()
	rt, ok := R4().Resource(typ)
	if !ok {
		rt, ok = R4().Datatype(typ)
	}
	d, known := rt.Element(name)
	if !ok || !known {
		t.Fatalf("no %s.%s", typ, name)
	}
	return d
}

func TestConstantIsSoundOnlyWhereItsElementTakesIt(t *testing.T) {
	for _, c := range []struct {
		typ, name, text string
		sound           bool
	}{
		{"Patient", "gender", "female", true},
		{"Patient", "gender", "F", false},           // not in the value set
		{"Patient", "birthDate", "19680412", false}, // not of the form
		{"HumanName", "family", "Okafor", true},
		{"HumanName", "family", "O\"Kafor", false}, // JSON escapes it
		{"HumanName", "family", "Åse", true},
		{"HumanName", "family", "\xc5", false},
		{"Identifier", "system", "https://fhir.nhs.uk/Id/nhs-number", true},
		{"Identifier", "system", "a b", false},
		{"Narrative", "div", `<div xmlns="http://www.w3.org/1999/xhtml">a</div>`, false},
	} {
		k, err := NewConstant(def(t, c.typ, c.name), c.text)
		if err != nil || k.Sound() != c.sound {
			t.Errorf("%s.%s %q: sound %v, %v", c.typ, c.name, c.text, k.Sound(), err)
		}
	}
	if _, err := NewConstant(def(t, "Patient", "name"), "x"); err == nil {
		t.Error("a constant of an element that is no primitive")
	}
}

func TestUnsoundConstantIsReportedAndEscaped(t *testing.T) {
	p, _ := NewTree().NewResource("Patient")
	gender, _ := NewConstant(def(t, "Patient", "gender"), "F")
	family, _ := NewConstant(def(t, "HumanName", "family"), "a\"b")
	name, _ := p.Add("name")
	if p.SetConstant(gender) != nil || name.SetConstant(family) != nil {
		t.Fatal("cannot be set")
	}
	if l := Validate(p); len(l) != 1 || l[0].Where != "Patient.gender" {
		t.Errorf("issues %v", l)
	}
	if out, err := AppendJSON(nil, p); err != nil || string(out) != `{"resourceType":"Patient","name":[{"family":"a\"b"}],"gender":"F"}` {
		t.Errorf("%s %v", out, err)
	}
}

// What was found sound is looked at again after it has changed, and where another value set binds.
func TestSoundIsForgottenWithTheText(t *testing.T) {
	tree := NewTree()
	p, _ := tree.NewResource("Patient")
	gender, _ := NewConstant(def(t, "Patient", "gender"), "female")
	for _, change := range []func(){
		func() { p.Child("gender").SetText("F") },
		func() { _ = p.Set("gender", "F") },
		func() { _ = p.SetDef(def(t, "Patient", "gender"), "F") },
	} {
		if err := p.SetConstant(gender); err != nil || len(Validate(p)) > 0 {
			t.Fatal(err)
		}
		if change(); len(Validate(p)) != 1 {
			t.Error("a code outside the value set passes")
		}
	}
	if err := p.SetConstant(gender); err != nil {
		t.Fatal(err)
	}
	o, _ := tree.NewResource("Observation")
	if _, err := Copy(o, "status", p.Child("gender")); err != nil {
		t.Fatal(err)
	}
	for _, i := range Validate(o) {
		if i.Where == "Observation.status" {
			return
		}
	}
	t.Error("a code of another value set passes")
}

func TestUUIDIsOfItsForm(t *testing.T) {
	const good = "urn:uuid:0f0c7a30-5b1e-4c55-8a53-00000000000a"
	var text strings.Builder
	text.WriteString("before")
	u := MakeUUID([16]byte{0x0f, 0x0c, 0x7a, 0x30, 0x5b, 0x1e, 0x4c, 0x55, 0x8a, 0x53, 15: 0x0a}, &text)
	if u.String() != good || !uuid(good[9:]) {
		t.Fatalf("%s, not %s", u, good)
	}
	b, _ := NewBundle(NewTree(), "collection")
	typ, _ := R4().Resource("Patient")
	p, err := b.AddType(u, typ)
	if err != nil || p.Child("id").Text() != good[9:] || len(Validate(b.Root)) > 0 {
		t.Errorf("%v %q %v", err, p.Child("id").Text(), Validate(b.Root))
	}
	if err := p.SetUUID(def(t, "Patient", "language"), u); err != nil || len(Validate(b.Root)) > 0 { // a code: not held sound
		t.Errorf("%v %v", err, Validate(b.Root))
	}
}
