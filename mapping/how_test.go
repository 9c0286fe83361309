package mapping

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/fhir"
)

// TestConversionsGiveWhatTheirTypeTakes: whatever a sender writes, the text that a conversion makes of it is of the form of
// the FHIR type it is named for, or there is none.
func TestConversionsGiveWhatTheirTypeTakes(t *testing.T) {
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	r := &run{zone: clock{zone: zone}}
	texts := []string{"", " ", "0", "00", "-0", "+7", "-.50", "1.", ".", "-", "1e5", "2026", "202613", "2026112", "20261124", "19000229", "20261124101500", "2026112410", "202611241015-1400",
		"20261124101500+1430", "20261124101500+1400", "20261124101560", "20261124101500.", "20261124101500.1234567890123456789", "2026-11-24T10:15:00Z", "24/11/2026", "0000", "00000000", "1015", "2400", "10:15:60",
		"%", "%zz", "a%20b%", "a b", "::", "1a:b", ":x", "urn:oid:1.2", "https://x/é?a=%", "a\u00a0b", "\u00a0", "\x00", "a\x1fb", "a\tb", " a ", "_", "a_b", "ä", "\u2028", "9999999999999999999999", "y", "No "}
	rng := rand.New(rand.NewPCG(3, 9))
	alphabet := []rune("0123456789+-.:/% TZeé_~a\t\x01\u00a0")
	for range 20_000 {
		var s []rune
		for range rng.IntN(20) {
			s = append(s, alphabet[rng.IntN(len(alphabet))])
		}
		texts = append(texts, string(s))
	}
	for name, convert := range conversions {
		typ, ok := fhir.R4().Datatype(name)
		if !ok {
			t.Fatalf("no type %s", name)
		}
		made := 0
		for _, in := range texts {
			out, why := convert(r, in)
			if out == "" {
				continue
			}
			made++
			if why != "" || !typ.Fits(out) {
				t.Errorf("%s of %q: %q, %s", name, in, out, why)
			}
		}
		if made < 2 {
			t.Errorf("%s: %d texts", name, made)
		}
	}
	for _, in := range texts {
		if out, _ := unknownSystem(r, in); out != "" && !uriType().Fits(out) {
			t.Errorf("system of %q: %q", in, out)
		}
	}
}
