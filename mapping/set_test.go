package mapping_test

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

// TestSiteMapsOverShipped adds what one sender does differently without copying a map.
func TestSiteMapsOverShipped(t *testing.T) {
	site := fstest.MapFS{
		"tables/ConsentQuestion.yaml": {Data: []byte("table: ConsentQuestion\nextend: true\ncodes:\n  IMGCONS: clinical-photography\n")},
		"segments/RF1[ServiceRequest].yaml": {Data: []byte("map: RF1[ServiceRequest]\nextend: true\nrules:\n" +
			"  - ZRF-6 -> note[0].text: lines\n")},
	}
	set, err := mapping.Load(maps.FS, site)
	if err != nil {
		t.Fatal(err)
	}
	if set.Digest() == shippedSet(t).Digest() {
		t.Error("two sets of maps have one digest")
	}
	m := with(t, "PHOTOCONSENT^", "IMGCONS^", "\nPRD|RP", "\nZRF||||||from a Z segment\nPRD|RP")
	res, err := set.ToFHIR(m, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if issues := fhir.Validate(res.Bundle.Root); len(issues) > 0 {
		t.Error(issues)
	}
	if res.Bundle.First("Consent").Child("status").Text() != "active" {
		t.Error("the site's consent question is not known")
	}
	if got := request(res).At("note.text").Text(); got != "from a Z segment" {
		t.Errorf("the site's rule wrote %q", got)
	}
	if request(res).Child("reasonCode").Text() == "" && !request(res).Child("reasonCode").OK() {
		t.Error("the shipped rules are gone")
	}
}

// TestOneSetManyMessages translates from several goroutines at once.
func TestOneSetManyMessages(t *testing.T) {
	set, o := shippedSet(t), options(t)
	want, _ := fhir.AppendJSON(nil, translate(t, message(t, advice), o).Bundle.Root)
	m := message(t, advice)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				res, err := set.ToFHIR(m, o)
				if err != nil {
					t.Error(err)
					return
				}
				if got, _ := fhir.AppendJSON(nil, res.Bundle.Root); !bytes.Equal(got, want) {
					t.Error("another Bundle than alone")
				}
				res.Release()
			}
		})
	}
	wg.Wait()
}

// TestWhateverComesTheBundleIsValid puts odd values into every field of a request: the Bundle must stay
// valid, every leaf accounted for, and each answer writable.
func TestWhateverComesTheBundleIsValid(t *testing.T) {
	t.Parallel()
	odd := []string{"", " ", `""`, "^", "^^^", "&", "~", "~~x", "a b  c", "x^y^z^1^2^3^4^5^6^7^8^9^10^11^12", "20260230", "99", "-1", "1e5", ".5",
		`\T\\S\`, `\X00\`, `\X0D0A\`, `\.br\`, "été", "https://x/ y^^image^jpeg", "^image^jpeg^Base64^", "^IM^^Base64^AAAA", "W", "D", "U", "zzz&q&r^s&t",
		strings.Repeat("long ", 300), "urn:oid:1.2", "NHS", "http://a b", "9990001014^^^NHS^NH", "0", "true", "01/02/2003"}
	rng := rand.New(rand.NewPCG(1, 2))
	lines := strings.Split(strings.NewReplacer("${photo1}", "AAAA", "${photo2}", "AAAA", "${photo3}", "AAAA").Replace(advice), "\n")
	for range 3000 {
		mutated := append([]string(nil), lines...)
		for range 1 + rng.IntN(4) {
			i := rng.IntN(len(mutated))
			fields := strings.Split(mutated[i], "|")
			first := 1
			if i == 0 {
				first = 6
			}
			for len(fields) < 26 {
				fields = append(fields, "")
			}
			fields[first+rng.IntN(len(fields)-first)] = odd[rng.IntN(len(odd))]
			mutated[i] = strings.Join(fields, "|")
		}
		if rng.IntN(4) == 0 { // a segment goes, or comes twice
			i := 1 + rng.IntN(len(mutated)-1)
			mutated = append(mutated[:i:i], mutated[i+rng.IntN(2):]...)
		}
		m, err := hl7.Parse([]byte(strings.Join(mutated, "\r")))
		if err != nil {
			continue
		}
		res, err := shippedSet(t).ToFHIR(m, options(t))
		if err != nil {
			continue
		}
		if issues := fhir.Validate(res.Bundle.Root); len(issues) > 0 {
			t.Fatalf("%v\n%s", issues, strings.Join(mutated, "\n"))
		}
		if c := res.Leaves; c.Valued != c.Mapped+c.Ignored+c.Unmapped {
			t.Fatalf("%+v\n%s", c, strings.Join(mutated, "\n"))
		}
		for _, form := range []string{"RRI_I12", "ORU_R01"} {
			out, _, err := shippedSet(t).ToHL7(res.Bundle, mapping.Out{Message: form, ControlID: "1", At: time.Unix(0, 0)})
			if err != nil {
				t.Fatalf("%s: %v\n%s", form, err, strings.Join(mutated, "\n"))
			}
			raw, err := out.Bytes()
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			if _, err := hl7.Parse(raw); err != nil {
				t.Fatalf("%s: %v", form, err)
			}
		}
		res.Release()
	}
}

// A resource of a name that the shipped message map has gets more maps: a Z segment's fields go into the same Patient.
func TestASiteAddsMapsToAShippedResource(t *testing.T) {
	site := func(resource string) fstest.MapFS {
		return fstest.MapFS{
			"messages/REF_I12.yaml":      {Data: []byte("map: REF_I12\nextend: true\nresources:\n  - " + resource + "\n")},
			"segments/ZPI[Patient].yaml": {Data: []byte("map: ZPI[Patient]\nrules:\n  - ZPI-1[1] -> maritalStatus.text: string\n")},
		}
	}
	set, err := mapping.Load(maps.FS, site("patient: Patient <- ZPI[Patient]"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := set.ToFHIR(message(t, advice+"\nZPI|Widowed, lives alone"), options(t))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for p := range res.Bundle.All("Patient") {
		n++
		if got := p.At("maritalStatus.text").Text(); got != "Widowed, lives alone" || p.At("gender").Text() == "" {
			t.Errorf("maritalStatus %q, gender %q", got, p.At("gender").Text())
		}
	}
	if n != 1 {
		t.Errorf("%d patients", n)
	}
	for resource, want := range map[string]string{
		"patient: Practitioner <- XCN[Practitioner]":      "maps/messages/REF_I12.yaml:4:14: patient is a Patient in the map that this one extends",
		"patient: Patient <- ZPI[Patient]\n    each: ZPI": "maps/messages/REF_I12.yaml:5:11: the map that this one extends says for which segments there is a resource patient",
	} {
		if _, err := mapping.Load(maps.FS, site(resource)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", resource, err)
		}
	}
}

// What a site's map leaves a shipped one nothing to do, or says once more, is no fault; it is noted at the site's own line.
func TestNotes(t *testing.T) {
	set, err := mapping.Load(maps.FS, fstest.MapFS{
		"segments/PID[Patient].yaml":  {Data: []byte("map: PID[Patient]\nextend: true\nrules:\n  - (\"unknown\") -> gender: code\n")},
		"tables/ConsentQuestion.yaml": {Data: []byte("table: ConsentQuestion\nextend: true\ncodes:\n  PHOTOCONSENT: clinical-photography\n  MINE: clinical-photography\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	notes := set.Notes()
	if len(notes) < 2 {
		t.Fatalf("%d notes: %v", len(notes), notes)
	}
	for i, want := range []string{`^maps/segments/PID\[Patient\]\.yaml:4:5: note: the rule at maps/segments/PID\[Patient\]\.yaml:\d+:5 of the shipped maps never writes, for this one always fills gender$`,
		`^maps/tables/ConsentQuestion\.yaml:4:3: note: table ConsentQuestion gives clinical-photography for PHOTOCONSENT already$`} {
		if got := notes[i*(len(notes)-1)].Error(); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	if shipped := shippedSet(t).Notes(); len(shipped) > 0 {
		t.Errorf("of the shipped maps: %v", shipped)
	}
}
