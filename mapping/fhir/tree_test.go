package fhir

import (
	"strings"
	"testing"
)

func resource(t *testing.T, typ string) Element {
	t.Helper()
	e, err := NewTree().NewResource(typ)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func text(t *testing.T, e Element) string {
	t.Helper()
	out, err := AppendJSON(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestOrderIsTheSchemasHoweverElementsAreAdded(t *testing.T) {
	e := resource(t, "Patient")
	m := &maker{}
	m.set(e, "birthDate", "1968-04-12", "gender", "female", "id", "a")
	m.set(m.in(e, "name"), "given", "Ros", "family", "Testcase", "given", "May")
	m.identifier(e, "urn:x", "1")
	m.set(m.in(e, "name"), "text", "second")
	m.identifier(e, "urn:x", "2")
	if m.err != nil {
		t.Fatal(m.err)
	}
	const want = `{"resourceType":"Patient","id":"a","identifier":[{"system":"urn:x","value":"1"},{"system":"urn:x","value":"2"}],"name":[{"family":"Testcase","given":["Ros","May"]},{"text":"second"}],"gender":"female","birthDate":"1968-04-12"}`
	if got := text(t, e); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPathsLeadThereAndBack(t *testing.T) {
	s, err := sample(NewTree())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"type":                               "message",
		"identifier.value":                   "MSG00001",
		"entry[2].resource.name[0].given[1]": "May",
		"entry[2].resource.name.given":       "Rosalind",
		"entry[1].resource.supportingInfo[3].reference": full(11),
		"entry[99].resource":                            "",
		"entry[x].resource":                             "",
		"entry[-1].resource":                            "",
		"nothing.here":                                  "",
	} {
		e := s.Root.At(path)
		if e.Text() != want {
			t.Errorf("At(%q) = %q, want %q", path, e.Text(), want)
		}
		if strings.Contains(path, "[2].resource.name[0]") && e.Path() != "Bundle."+path {
			t.Errorf("Path = %s, want Bundle.%s", e.Path(), path)
		}
	}
	if p := (Element{}).Path(); p != "" {
		t.Errorf("no element has path %q", p)
	}
}

func TestWhatTheSchemaForbidsCannotBeAdded(t *testing.T) {
	e := resource(t, "Patient")
	if _, err := e.Add("birthDate"); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() error{
		"unknown element":     func() error { _, err := e.Add("birthdate"); return err },
		"single twice":        func() error { _, err := e.Add("birthDate"); return err },
		"resource as element": func() error { _, err := e.Add("contained"); return err },
		"unknown resource":    func() error { _, err := e.AddResource("contained", "Wizard"); return err },
		"no place for one":    func() error { _, err := e.AddResource("name", "Basic"); return err },
		"text of a complex":   func() error { return e.Set("name", "x") },
		"no element":          func() error { return Element{}.Set("name", "x") },
		"content of a text":   func() error { return e.SetData("birthDate", Data{}) },
		"copy of other type":  func() error { _, err := Copy(e, "name", e); return err },
		"copy of nothing":     func() error { _, err := Copy(e, "name", Element{}); return err },
		"copy of single":      func() error { _, err := Copy(e, "birthDate", e.Child("birthDate")); return err },
		"unknown type":        func() error { _, err := NewTree().NewResource("Wizard"); return err },
		"no resource":         func() error { _, err := NewTree().CopyResource(e.Child("birthDate")); return err },
	} {
		if try() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSetReplacesASingleAndAddsToAList(t *testing.T) {
	e := resource(t, "HealthcareService")
	m := &maker{}
	m.set(e, "name", "a", "name", "b")
	if err := e.SetData("name", Data{}); err == nil {
		t.Error("a name holds no content")
	}
	for n := range e.Children("name") {
		n.SetText("c")
	}
	if got, want := text(t, e), `{"resourceType":"HealthcareService","name":"c"}`; got != want || m.err != nil {
		t.Errorf("got %s (%v), want %s", got, m.err, want)
	}
}

func TestRemoveWhileWalking(t *testing.T) {
	e := resource(t, "Patient")
	m := &maker{}
	for _, v := range []string{"1", "2", "3", "4"} {
		m.identifier(e, "urn:x", v)
	}
	for c := range e.Children("identifier") {
		if v := c.At("value").Text(); v == "1" || v == "3" || v == "4" {
			c.Remove()
		}
	}
	m.identifier(e, "urn:x", "5")
	const want = `{"resourceType":"Patient","identifier":[{"system":"urn:x","value":"2"},{"system":"urn:x","value":"5"}]}`
	if got := text(t, e); got != want || m.err != nil {
		t.Errorf("got %s (%v), want %s", got, m.err, want)
	}
	if i := e.At("identifier[1]").Index(); i != 1 {
		t.Errorf("index %d, want 1", i)
	}
}

func TestCopyBetweenTreesIsWhole(t *testing.T) {
	src, issues := Read(compacted(t, "testdata/observation.json"), ReadOptions{NoJudge: true})
	if len(issues) > 0 {
		t.Fatal(issues)
	}
	b, err := NewBundle(NewTree(), "collection")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := b.Root.Add("entry")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Copy(entry, "resource", src)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := text(t, c), text(t, src); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	alone, err := NewTree().CopyResource(c)
	if err != nil {
		t.Fatal(err)
	}
	c.At("code.text").SetText("changed")
	if alone.At("code.text").Text() != src.At("code.text").Text() {
		t.Error("a copy changed with its original")
	}
	if p := alone.At("code.text").Path(); p != "Observation.code.text" {
		t.Errorf("path %s", p)
	}
}

// TestCopyIntoItself copies an element below itself: it must end.
func TestCopyIntoItself(t *testing.T) {
	e := resource(t, "Questionnaire")
	m := &maker{}
	item := m.set(m.in(e, "item"), "linkId", "1", "type", "group")
	inner := m.set(m.in(item, "item"), "linkId", "1.1", "type", "display")
	if _, err := Copy(inner, "item", item.At("item")); err == nil && m.err == nil {
		if n := strings.Count(text(t, e), "linkId"); n != 3 {
			t.Errorf("%d items, want 3", n)
		}
	} else {
		t.Fatal(err, m.err)
	}
}

func TestResetForgetsAllAndKeepsTheMemory(t *testing.T) {
	tree := NewTree()
	first, err := sample(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := text(t, first.Root)
	tree.Reset()
	second, err := sample(tree)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, second.Root); got != want {
		t.Error("the same steps gave another Bundle after Reset")
	}
}

func TestBundleResolvesEveryKindOfReference(t *testing.T) {
	const in = `{"resourceType":"Bundle","type":"collection","entry":[` +
		`{"fullUrl":"urn:uuid:0f0c7a30-0000-4000-8000-000000000001","resource":{"resourceType":"Patient","id":"p"}},` +
		`{"fullUrl":"https://example.org/fhir/Organization/o","resource":{"resourceType":"Organization","name":"a"}},` +
		`{"resource":{"resourceType":"Observation","contained":[{"resourceType":"Device","id":"d"}],"status":"final","code":{"text":"a"}}}]}`
	root, issues := Read([]byte(in), ReadOptions{NoJudge: true})
	if len(issues) > 0 {
		t.Fatal(issues)
	}
	b := &Bundle{root}
	for ref, want := range map[string]string{
		"urn:uuid:0f0c7a30-0000-4000-8000-000000000001": "Patient",
		"Patient/p":            "Patient",
		"Patient/p/_history/4": "Patient",
		"Organization/o":       "Organization",
		"https://example.org/fhir/Organization/o":   "Organization",
		"https://elsewhere.org/fhir/Patient/p":      "",
		"Organization/p":                            "",
		"Patient/":                                  "",
		"urn:uuid:0f0c7a30-0000-4000-8000-00000000": "",
		"#d": "",
		"":   "",
	} {
		if got := b.Resolve(ref).Name(); (got != "") != (want != "") || want != "" && b.Resolve(ref).Type().Name != want {
			t.Errorf("%q leads to %q, want %q", ref, got, want)
		}
	}
	obs := b.First("Observation")
	if d := Contained(obs, "#d"); !d.OK() || Contained(obs, "#e").OK() || Contained(obs, "d").OK() {
		t.Error("#d is the Device, and nothing else is")
	}
	n := 0
	for range b.Resources() {
		n++
	}
	if n != 3 || b.First("Media").OK() || b.Tree() != root.Tree() {
		t.Errorf("%d resources", n)
	}
}
