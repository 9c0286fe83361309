package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

const royal = `sender: royal
systems: {ROYALMRN: https://royal.example/mrn}
tables:
  AdministrativeSexUK: {W: female}
maps:
  PID[Patient]:
    rules:
      - ZPI-1[1] -> birthDate: date
`

// told is what two senders say of the same patient: the first as the shipped maps have it, the second in its
// own codes, with the date of birth elsewhere.
var told = [2]string{
	"MSH|^~\\&|A|B|C|D|20261124101500||ADT^A28^ADT_A05|1|P|2.4\rPID|1||77^^^https://royal.example/mrn^MR||Testcase^Rosalind||19680412|2\r",
	"MSH|^~\\&|A|B|C|D|20261124101500||ADT^A28^ADT_A05|1|P|2.4\rPID|1||77^^^ROYALMRN^MR||Testcase^Rosalind|||W\rZPI|19680412\r",
}

func withOverlay(t *testing.T, text string) *mapping.Set {
	t.Helper()
	set, err := mapping.Load(maps.FS, fstest.MapFS{"senders/royal.yaml": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func patientOf(t *testing.T, set *mapping.Set, text, sender string) (*mapping.Result, string) {
	t.Helper()
	m, err := hl7.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	res, err := set.ToFHIR(m, mapping.Options{Source: "s", Sender: sender, Trace: true})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := fhir.WriteIndented(&b, res.Bundle.First("Patient")); err != nil {
		t.Fatal(err)
	}
	return res, b.String()
}

// TestOverlay: two senders with codes and places of their own reach the same patient, and neither's ways are
// the other's.
func TestOverlay(t *testing.T) {
	set := withOverlay(t, royal)
	_, want := patientOf(t, set, told[0], "")
	res, got := patientOf(t, set, told[1], "royal")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the overlay gives another patient (-shipped +overlay):\n%s", diff)
	}
	if len(res.Unmapped) != 0 {
		t.Errorf("unmapped: %v", res.Unmapped)
	}
	if !slices.ContainsFunc(res.Trace.Elements, func(e mapping.TracedElement) bool {
		return strings.HasSuffix(e.Path, "birthDate") && e.Rule == "maps/senders/royal.yaml:8:9"
	}) {
		t.Errorf("no element birthDate by the overlay's rule in %v", res.Trace.Elements)
	}
	if _, other := patientOf(t, set, told[1], ""); other == got {
		t.Error("without its name the overlay is in force too")
	}
	if got := set.Senders(); !slices.Equal(got, []string{"royal"}) {
		t.Errorf("senders %v", got)
	}
}

// TestOverlayIsOfTheDigest: what a sender's overlay changes is another map set.
func TestOverlayIsOfTheDigest(t *testing.T) {
	a, b := withOverlay(t, royal), withOverlay(t, strings.Replace(royal, "W: female", "W: other", 1))
	if a.Digest() == b.Digest() {
		t.Error("two overlays have one digest")
	}
}

// TestUnknownSender: an overlay that is not there is told, not left out.
func TestUnknownSender(t *testing.T) {
	m, err := hl7.Parse([]byte(told[0]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := withOverlay(t, royal).ToFHIR(m, mapping.Options{Source: "s", Sender: "roial"}); err == nil {
		t.Error("no error")
	}
}

// BenchmarkLoadOverlays compiles all shipped maps and five senders' overlays.
func BenchmarkLoadOverlays(b *testing.B) {
	layer := fstest.MapFS{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		layer["senders/"+name+".yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(royal, "royal\n", name+"\n", 1))}
	}
	for b.Loop() {
		if _, err := mapping.Load(maps.FS, layer); err != nil {
			b.Fatal(err)
		}
	}
}
