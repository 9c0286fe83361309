package hl7

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	lenaten "github.com/lenaten/hl7"
)

// TestAgreesWithLenaten reads random plain ASCII messages with this parser and with lenaten/hl7 and compares
// every field, component and sub-component of first segments and first repetitions: all that library can
// name. Outside plain ASCII without escapes it cannot serve as an oracle (it counts runes but indexes bytes).
func TestAgreesWithLenaten(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	compared := 0
	for range 300 {
		in := asciiMessage(r)
		m := mustParse(t, in)
		theirs := lenaten.NewMessage(append(make([]byte, 0, len(in)+64), in...)) // it fails without spare capacity
		if err := theirs.Parse(); err != nil {
			t.Fatalf("lenaten/hl7: %v", err)
		}
		for p, v := range m.Leaves() {
			if p.Occurrence() > 1 || p.Repetition() > 1 || p.Segment() == "MSH" && p.Field() < 3 {
				continue
			}
			// their components and sub-components count from 0
			place := fmt.Sprintf("%s.%d.%d", p.Segment(), p.Field(), p.Component()-1)
			if p.Subcomponent() > 0 {
				place += "." + strconv.Itoa(p.Subcomponent()-1)
			}
			got, err := theirs.Find(place)
			if err != nil || got != v.Text() {
				t.Fatalf("%s: %q, lenaten/hl7 %q, %v in %q", p, v.Text(), got, err, in)
			}
			compared++
		}
	}
	if compared < 3000 {
		t.Errorf("only %d values compared", compared)
	}
}

// asciiMessage makes a message of letters and digits in random fields.
func asciiMessage(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("MSH|^~\\&|A|B|C|D|20260105||ADT^A28|" + strconv.Itoa(r.IntN(1000)) + "|P|2.4|")
	for _, s := range []string{"EVN", "PID", "PV1", "OBX", "OBX"} {
		b.WriteString("\r" + s + "|")
		for range 1 + r.IntN(8) {
			for c := range r.IntN(4) {
				b.WriteString([]string{"", "^", "~", "&"}[min(c, r.IntN(4))])
				b.WriteString(strconv.FormatUint(uint64(r.IntN(1<<20)), 36))
			}
			b.WriteByte('|') // a last field that is empty: lenaten/hl7 leaves the CR in it
		}
	}
	return b.String() + "\r"
}
