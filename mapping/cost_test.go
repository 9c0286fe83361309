package mapping_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/dermgate/dermgate/mapping/maps"
)

// TestAnExpressionIsStoppedOnALargeMessage: what is cheap on an ordinary message and would not be on a large one ends
// there, in an error that names the expression's place and nothing of the message.
func TestAnExpressionIsStoppedOnALargeMessage(t *testing.T) {
	set, err := mapping.Load(maps.FS, fstest.MapFS{"segments/PID[Patient].yaml": {Data: []byte(`map: PID[Patient]
extend: true
rules:
  - ("lower") -> maritalStatus.text: string
    when: PID-3[*].1.all(x, x.lowerAscii() != "z")
  - (PID-11[1].1.replace("a", "bb")) -> contact[0].name.text: string
    when: PID-11[1].1 != ""
`)}})
	if err != nil {
		t.Fatal(err)
	}
	const all, replaced = "maps/segments/PID[Patient].yaml:5:11", "maps/segments/PID[Patient].yaml:6:6"
	secret := "Secretcase"
	for _, tt := range []struct {
		name, ids, street, stopped string
	}{
		{"ordinary", strings.Repeat("X123^^^RXX~", 20), strings.Repeat("a", 200), ""},
		{"many identifiers", strings.Repeat(strings.Repeat(secret, 20)+"^^^RXX~", 1500), "a", all},
		{"a long street", "X123", strings.Repeat(secret+"a", 50_000), replaced},
		{"both", strings.Repeat(strings.Repeat(secret, 20)+"^^^RXX~", 1500), strings.Repeat(secret+"a", 2_000_000), replaced},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := hl7.Parse([]byte("MSH|^~\\&|EMIS|Y06601|DERMGATE|RXX01|20261124101500||ADT^A28|1|P|2.4\rPID|1||" + tt.ids + "||Testcase||||||" + tt.street))
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			res, err := set.ToFHIR(m, options(t))
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			told := map[string]int{}
			for _, i := range res.Issues {
				if i.Kind == issue.Internal {
					told[i.Where]++
					if i.Severity != issue.Error || !strings.Contains(i.Text, "was stopped") || strings.Contains(i.Error(), secret) {
						t.Errorf("%s: %s", i.Severity, i)
					}
				}
			}
			if tt.stopped == "" && len(told) > 0 || tt.stopped != "" && told[tt.stopped] != 1 {
				t.Errorf("stopped at %v, want %q", told, tt.stopped)
			}
		})
	}
}
