package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/maps"
)

// TestWhereNullDeletes: `""` leaves an element without a value in a snapshot and nowhere else, and is told either way; an
// empty field and a part of a field leave none. A site says of which events more are.
func TestWhereNullDeletes(t *testing.T) {
	site, err := mapping.Load(maps.FS, fstest.MapFS{"messages/ADT_A01.yaml": {Data: []byte("map: ADT_A01\nextend: true\nsnapshot: [ADT^A28]\n")}})
	if err != nil {
		t.Fatal(err)
	}
	const (
		birth = `"_birthDate":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"unknown"}]}`
		told  = "information value PID-7[1]"
		asked = "warning value PID-5[1].3" // the first of two
	)
	for _, tt := range []struct {
		event, birth string
		set          *mapping.Set
		deletes      bool
		issue        string
	}{
		{"ADT^A31", `""`, shippedSet(t), true, told},
		{"ADT^A08", `""`, shippedSet(t), true, told},
		{"ADT^A28", `""`, shippedSet(t), false, asked},
		{"ADT^A04", `""`, shippedSet(t), false, asked},
		{"ADT^A28", `""`, site, true, told},
		{"ADT^A31", "", shippedSet(t), false, ""},
		{"ADT^A31", "19680412", shippedSet(t), false, ""},
	} {
		res, err := tt.set.ToFHIR(message(t, "MSH|^~\\&|A|B|C|D|20260101||"+tt.event+"|1|P|2.4\nPID|1||9990001014^^^NHS^NH||Testcase^Rosalind^\"\"||"+tt.birth), options(t))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(compact(t, res.Bundle.Root)), birth); got != tt.deletes {
			t.Errorf("%s with %q: deletes the date of birth: %v", tt.event, tt.birth, got)
		}
		var issues []string
		for _, i := range res.Issues {
			issues = append(issues, i.Severity.String()+" "+string(i.Kind)+" "+i.Where)
		}
		if tt.issue != "" && !slices.Contains(issues, tt.issue) || tt.issue == "" && len(issues) > 0 {
			t.Errorf("%s with %q: %v, want %q", tt.event, tt.birth, issues, tt.issue)
		}
	}
}
