package mapping_test

import (
	"strings"
	"testing"
)

// TestAMergeLinksItsOwnRecords: of a broken A40 (a PID that no MRG belongs to, an MRG too many) no link is made to
// the record of another pair, and the sender is told.
func TestAMergeLinksItsOwnRecords(t *testing.T) {
	head := "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261127090000||ADT^A40^ADT_A39|M1|P|2.4|||AL|NE|GBR|UNICODE UTF-8\rEVN|A40|20261127085900\r"
	ann, merged := "PID|1||A100^^^RXX01^MR||Testcase^Ann\r", "MRG|A101^^^RXX01^MR\r"
	otto := "PID|2||B200^^^RXX01^MR||Beispiel^Otto\r"
	for name, tt := range map[string]struct {
		raw   string
		links string // of the patients in order
	}{
		"whole":        {head + ann + merged + otto + "MRG|B201^^^RXX01^MR\r", "B200->B201 A100->A101 B201->B200 A101->A100"},
		"the second":   {head + ann + merged + otto, "A100->A101 A101->A100"},
		"the first":    {head + otto + ann + merged, "A100->A101 A101->A100"},
		"MRG first":    {head + merged + ann, "A100->A101 A101->A100"},
		"two of one":   {head + ann + merged + "MRG|A102^^^RXX01^MR\r", "A100->A101 A101->A100 A102->A100"},
		"a second PD1": {head + ann + "PD1|||S^^Y06601\r" + merged, "A100->A101 A101->A100"},
	} {
		res := translate(t, message(t, tt.raw), options(t))
		first := map[string]string{}
		for p := range res.Bundle.All("Patient") {
			first["urn:uuid:"+p.Child("id").Text()] = p.At("identifier.value").Text()
		}
		got := map[string]bool{}
		for p := range res.Bundle.All("Patient") {
			for l := range p.Children("link") {
				got[p.At("identifier.value").Text()+"->"+first[l.At("other.reference").Text()]] = true
			}
		}
		want := strings.Fields(tt.links)
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		for _, w := range want {
			if !got[w] {
				t.Errorf("%s: no %s in %v", name, w, got)
			}
		}
		if name != "whole" && name != "a second PD1" && len(res.Issues) == 0 {
			t.Errorf("%s: nobody is told", name)
		}
	}
}
