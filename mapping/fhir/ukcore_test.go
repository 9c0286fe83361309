package fhir

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// publishedFile is UK Core as HL7 UK gives it out.
const publishedFile = "../../fixtures/interop/ukcore.zip"

// R4's value sets that UK Core requires: their codes (FHIR R4, valueset-condition-clinical and -ver-status), and
// where R4 requires them of a concept, which the schema does not know.
var (
	r4Sets = map[string][]coded{
		"http://hl7.org/fhir/ValueSet/all-languages": nil, // every language of BCP 47
		"http://hl7.org/fhir/ValueSet/condition-clinical": codesOf("http://terminology.hl7.org/CodeSystem/condition-clinical",
			"active", "recurrence", "relapse", "inactive", "remission", "resolved"),
		"http://hl7.org/fhir/ValueSet/condition-ver-status": codesOf("http://terminology.hl7.org/CodeSystem/condition-ver-status",
			"unconfirmed", "provisional", "differential", "confirmed", "refuted", "entered-in-error"),
	}
	v3Systems = map[string][]string{"http://terminology.hl7.org/CodeSystem/v3-AdministrativeGender": {"F", "M", "UN"}}
	laterSets = []string{ // of FHIR R5 and R6, which R4 does not have: what they bind is not checked
		"http://hl7.org/fhir/ValueSet/subscription-payload-content", "http://hl7.org/fhir/ValueSet/observation-triggeredbytype",
		"http://hl7.org/fhir/ValueSet/patient-fetalstatus",
	}
	r4Concepts = map[string]string{
		"Condition.clinicalStatus":     "http://hl7.org/fhir/ValueSet/condition-clinical",
		"Condition.verificationStatus": "http://hl7.org/fhir/ValueSet/condition-ver-status",
	}
)

func codesOf(system string, list ...string) (out []coded) {
	for _, c := range list {
		out = append(out, coded{system, c})
	}
	return out
}

// TestUKCoreIsAsPublished makes ukcore.json of UK Core's own StructureDefinitions: of each resource's profile all
// that an instance can break, with the extensions it names. UPDATE=1 writes the file.
func TestUKCoreIsAsPublished(t *testing.T) {
	p := readPublished(t)
	out := profiles{About: "Made from UK Core R4 STU 2 (UKCore.R4.STU.02.00.00, version 2.0.0), copyright © 2021+ HL7 UK, Apache License 2.0. " +
		"HL7® FHIR® standard copyright © 2011+ HL7, used under the FHIR license. Written by `UPDATE=1 go test ./mapping/fhir -run UKCore`.",
		ValueSets: map[string][]coded{}}
	for _, sd := range p.definitions {
		if sd.base() && sd.Type.V != "Extension" {
			out.Profiles = append(out.Profiles, profiled{Type: sd.Type.V, URL: sd.URL.V, Version: sd.Version.V, Elements: p.elements(t, sd, out.ValueSets)})
		}
	}
	slices.SortFunc(out.Profiles, func(a, b profiled) int { return strings.Compare(a.Type, b.Type) })
	var made bytes.Buffer
	e := json.NewEncoder(&made)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(out); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("ukcore.json", made.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(made.String(), string(ukCoreFile)); diff != "" {
		t.Errorf("ukcore.json is not what the profiles say (-want +got):\n%s", diff)
	}
}

// attr is an element of FHIR's XML that is a value.
type attr struct {
	V string `xml:"value,attr"`
}

type definition struct {
	XMLName xml.Name
	URL     attr      `xml:"url"`
	Version attr      `xml:"version"`
	Type    attr      `xml:"type"`
	Name    attr      `xml:"name"`
	Base    attr      `xml:"baseDefinition"`
	Said    []said    `xml:"differential>element"`
	Include []include `xml:"compose>include"`
	Exclude []include `xml:"compose>exclude"`
	Content attr      `xml:"content"`
	Concept []concept `xml:"concept"`
}

type said struct {
	ID        string `xml:"id,attr"`
	SliceName attr   `xml:"sliceName"`
	Min       attr   `xml:"min"`
	Max       attr   `xml:"max"`
	Fixed     attr   `xml:"fixedUri"`
	Types     []struct {
		Code    attr   `xml:"code"`
		Profile []attr `xml:"profile"`
	} `xml:"type"`
	Binding struct {
		Strength attr `xml:"strength"`
		ValueSet attr `xml:"valueSet"`
	} `xml:"binding"`
	Constraint []struct {
		Key      attr `xml:"key"`
		Severity attr `xml:"severity"`
		Human    attr `xml:"human"`
	} `xml:"constraint"`
	Slicing struct {
		Discriminator []struct {
			Type attr `xml:"type"`
			Path attr `xml:"path"`
		} `xml:"discriminator"`
		Rules attr `xml:"rules"`
	} `xml:"slicing"`
	Rest []struct{ XMLName xml.Name } `xml:",any"`
}

type include struct {
	System   attr       `xml:"system"`
	Concept  []concept  `xml:"concept"`
	Filter   []struct{} `xml:"filter"`
	ValueSet []attr     `xml:"valueSet"`
}

type concept struct {
	Code    attr      `xml:"code"`
	Concept []concept `xml:"concept"`
}

type publication struct {
	definitions map[string]definition // by url
	systems     map[string]definition
	sets        map[string]definition
}

func readPublished(t *testing.T) publication {
	t.Helper()
	z, err := zip.OpenReader(publishedFile)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	p := publication{map[string]definition{}, map[string]definition{}, map[string]definition{}}
	into := map[string]map[string]definition{"profiles": p.definitions, "extensions": p.definitions, "codesystems": p.systems, "valuesets": p.sets}
	for _, f := range z.File {
		m := into[path.Dir(f.Name)]
		if m == nil {
			continue
		}
		b, err := fs.ReadFile(z, f.Name)
		if err != nil {
			t.Fatal(err)
		}
		var d definition
		if err := xml.Unmarshal(b, &d); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		m[d.URL.V] = d
	}
	return p
}

// base tells a resource's own profile from those of special kinds of it, such as one of vital signs.
func (d definition) base() bool {
	return strings.HasSuffix(d.URL.V, "/UKCore-"+d.Type.V) && d.Base.V == "http://hl7.org/fhir/StructureDefinition/"+d.Type.V
}

// elements gives what a definition asks as a tree, without what asks nothing.
func (p publication) elements(t *testing.T, d definition, sets map[string][]coded) []*asked {
	root, tells := &asked{}, map[string]string{} // tells: what the slices of an element are told by
	for _, on := range d.Said {
		steps := strings.Split(on.ID, ".")
		if len(steps) == 1 {
			for _, c := range on.Constraint {
				if c.Severity.V == "error" {
					root.Elements = append(root.Elements, &asked{Invariant: c.Key.V, Human: c.Human.V})
				}
			}
			continue
		}
		a := root
		for i, s := range steps[1:] {
			a = a.step(s)
			rest := strings.Join(steps[i+2:], ".")
			if name, _, sliced := strings.Cut(s, ":"); sliced && rest != "" && rest == tells[name] {
				a.By, a.Is = rest, on.Fixed.V
				break
			}
		}
		for _, by := range on.Slicing.Discriminator {
			tells[a.Name] = by.Path.V
		}
		switch {
		case on.Fixed.V == "":
			p.say(t, d, a, on, sets)
		case on.Fixed.V != a.Is && (on.ID != "Extension.url" || on.Fixed.V != d.URL.V) && !strings.HasSuffix(on.ID, ":"+on.Fixed.V+".url"):
			t.Errorf("%s %s: fixed, which is not checked", d.URL.V, on.ID)
		}
	}
	if d.Type.V != "Extension" {
		for id, set := range r4Concepts {
			if typ, name, _ := strings.Cut(id, "."); typ == d.Type.V {
				root.step(name).ValueSet = set
				sets[set] = r4Sets[set]
			}
		}
	}
	root.prune()
	slices.SortStableFunc(root.Elements, func(a, b *asked) int { return strings.Compare(a.Name, b.Name) })
	return root.Elements
}

// step gives the element of a name such as "identifier:nhsNumber" in an element.
func (a *asked) step(name string) *asked {
	name, slice, _ := strings.Cut(name, ":")
	for _, e := range a.Elements {
		if e.Name == name && e.Slice == slice {
			return e
		}
	}
	e := &asked{Name: name, Slice: slice}
	a.Elements = append(a.Elements, e)
	return e
}

func (p publication) say(t *testing.T, d definition, a *asked, on said, sets map[string][]coded) {
	for _, by := range on.Slicing.Discriminator {
		if by.Type.V != "value" || on.Slicing.Rules.V != "open" {
			t.Errorf("%s %s: slicing of a kind that is not checked", d.URL.V, on.ID)
		}
	}
	if on.Min.V != "" && on.Min.V != "0" {
		a.Min = int(on.Min.V[0] - '0')
	}
	if on.Max.V != "" && on.Max.V != "*" {
		n := int(on.Max.V[0] - '0')
		a.Max = &n
	}
	for _, c := range on.Constraint {
		if c.Severity.V == "error" {
			t.Errorf("%s %s: %s is not checked", d.URL.V, on.ID, c.Key.V)
		}
	}
	for _, other := range on.Rest {
		for _, kind := range []string{"fixed", "pattern", "minValue", "maxValue", "maxLength", "contentReference"} {
			if strings.HasPrefix(other.XMLName.Local, kind) {
				t.Errorf("%s %s: %s is not checked", d.URL.V, on.ID, other.XMLName.Local)
			}
		}
	}
	if set, _, _ := strings.Cut(on.Binding.ValueSet.V, "|"); on.Binding.Strength.V == "required" && !slices.Contains(laterSets, set) {
		a.ValueSet = set
		sets[set] = p.expand(t, set)
	}
	for _, typ := range on.Types {
		if a.Name == "value[x]" {
			a.Types = append(a.Types, typ.Code.V)
		}
		for _, url := range typ.Profile {
			a.By, a.Is = "url", url.V
			x, ok := p.definitions[url.V]
			if !ok {
				continue // R4's own, or one of a later FHIR
			}
			for _, root := range x.Said {
				if root.ID == "Extension" && root.Max.V == "1" && a.Max == nil {
					one := 1
					a.Max = &one
				}
			}
			a.Elements = append(a.Elements, p.elements(t, x, sets)...)
		}
	}
	if d.Type.V == "Extension" && a.Name == "extension" && a.Slice != "" {
		a.By, a.Is = "url", a.Slice // UK Core names the parts of an extension by their url
	}
}

// prune takes out what asks nothing.
func (a *asked) prune() {
	for _, e := range a.Elements {
		e.prune()
	}
	a.Elements = slices.DeleteFunc(a.Elements, func(e *asked) bool {
		return e.Min == 0 && e.Max == nil && e.ValueSet == "" && e.Types == nil && e.Invariant == "" && len(e.Elements) == 0
	})
}

// expand lists the codes of a value set.
func (p publication) expand(t *testing.T, url string) []coded {
	if known, ok := r4Sets[url]; ok {
		return known
	}
	set, ok := p.sets[url]
	if !ok {
		t.Fatalf("the codes of %s are not known", url)
	}
	var out []coded
	for _, in := range set.Include {
		if len(in.Filter)+len(in.ValueSet)+len(set.Exclude) > 0 {
			t.Fatalf("%s is not a plain list", url)
		}
		list := in.Concept
		if len(list) == 0 {
			system, ok := p.systems[in.System.V]
			if own := v3Systems[in.System.V]; own != nil {
				out = append(out, codesOf(in.System.V, own...)...)
				continue
			}
			if !ok || system.Content.V != "complete" {
				t.Fatalf("%s: the codes of %s are not known", url, in.System.V)
			}
			list = system.Concept
		}
		out = append(out, flat(in.System.V, list)...)
	}
	return out
}

func flat(system string, list []concept) (out []coded) {
	for _, c := range list {
		out = append(append(out, coded{system, c.Code.V}), flat(system, c.Concept)...)
	}
	return out
}
