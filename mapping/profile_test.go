package mapping_test

import (
	"slices"
	"testing"

	"github.com/dermgate/dermgate/fixtures/corpus"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// TestProfilesAreDeclaredWhereMet: a language that only has a name keeps the patient, and nobody else, from UK Core.
func TestProfilesAreDeclaredWhereMet(t *testing.T) {
	const patient = "https://fhir.hl7.org.uk/StructureDefinition/UKCore-Patient"
	for language, want := range map[string]string{
		"EN":                              "",
		"en^^BCP47":                       "",
		"ZZX^a language that has no code": "PID: Patient.communication[0].language: a code of the value set all-languages is required (UKCore-Patient)",
	} {
		o := options(t)
		o.Profile = true
		res := translate(t, with(t, "^PRN^PH^^^^^^^^^02079460123|", "^PRN^PH^^^^^^^^^02079460123||"+language+"|"), o)
		got := ""
		for _, i := range res.Profile {
			got += i.Severity.String() + " " + i.Error()
		}
		if want != "" {
			want = "information " + want
		}
		if got != want {
			t.Errorf("PID-15 %q: found %q, want %q", language, got, want)
		}
		for r := range res.Bundle.Resources() {
			p := r.Type().Profile()
			switch claim := r.At("meta.profile[0]").Text(); {
			case p == nil, want != "" && r.Type().Name == "Patient":
				if r.Child("meta").OK() {
					t.Errorf("%s claims %s", r.Type().Name, claim)
				}
			case claim != p.URL:
				t.Errorf("%s claims %q, want %s", r.Type().Name, claim, p.URL)
			}
		}
		if got := res.Bundle.Root.At("meta.profile[0]").Text(); got != "https://fhir.hl7.org.uk/StructureDefinition/UKCore-Bundle" {
			t.Errorf("the Bundle claims %q", got)
		}
		if res := translate(t, with(t, "^PRN^PH^^^^^^^^^02079460123|", "^PRN^PH^^^^^^^^^02079460123||"+language+"|"), options(t)); res.Profile != nil {
			t.Errorf("%v, not asked for", res.Profile)
		}
	}
	o := options(t)
	o.Trace = true
	found := translate(t, message(t, advice), o).Trace.Elements
	i := slices.IndexFunc(found, func(e mapping.TracedElement) bool { return e.Path == "Patient.meta.profile[0]" })
	if i < 0 || found[i].Rule != patient || len(found[i].From) > 0 {
		t.Error("the trace does not say why the patient claims a profile")
	}
}

// TestCorpusDeclaresWhatItMeets holds every resource of the corpus against its profile anew, as it is read back.
func TestCorpusDeclaresWhatItMeets(t *testing.T) {
	declared, kept := 0, 0
	for name, raw := range corpus.HL7v2() {
		m, err := hl7.Parse(raw)
		if err != nil {
			continue
		}
		o := corpusOptions(t)
		o.Profile = true
		res, err := shippedSet(t).ToFHIR(m, o)
		if err != nil {
			continue
		}
		without := 0
		root, _ := fhir.Read(compact(t, res.Bundle.Root), fhir.ReadOptions{NoJudge: true})
		for r := range (&fhir.Bundle{Root: root}).Resources() {
			p := r.Type().Profile()
			if p == nil {
				continue
			}
			claims, faults := r.At("meta.profile").Text() == p.URL, p.Faults(r)
			if claims != (len(faults) == 0) {
				t.Errorf("%s: %s claims its profile: %v, and has %v", name, r.Path(), claims, faults)
			}
			if claims {
				declared++
			} else {
				without += len(faults)
			}
		}
		if without != len(res.Profile) {
			t.Errorf("%s: %d faults, %d told", name, without, len(res.Profile))
		}
		kept += without
		res.Release()
	}
	t.Logf("%d resources declare their profile, %d faults", declared, kept)
	if declared < 1000 || kept == 0 {
		t.Error("the corpus has more of both")
	}
}
