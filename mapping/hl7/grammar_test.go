package hl7

import (
	"slices"
	"testing"
)

func TestLookupField(t *testing.T) {
	tests := []struct {
		segment string
		n       int
		want    Field
	}{
		{"PID", 3, Field{"Patient Identifier List", "CX", true, ""}},
		{"PID", 8, Field{"Administrative Sex", "CWE", false, "0001"}},
		{"PID", 5, Field{"Patient Name", "XPN", true, "0200"}},
		{"RF1", 1, Field{"Referral Status", "CWE", false, "0283"}},
		{"RF1", 11, Field{"External Referral Identifier", "EI", true, ""}},
		{"PRD", 7, Field{"Provider Identifiers", "PLN", true, "0338"}},
		{"OBX", 5, Field{"Observation Value", "varies", true, ""}},
		{"ZRF", 6, Field{"", "varies", true, ""}},
	}
	for _, tt := range tests {
		if got, ok := LookupField(tt.segment, tt.n); !ok || got != tt.want {
			t.Errorf("%s-%d is %+v %v, want %+v", tt.segment, tt.n, got, ok, tt.want)
		}
	}
	for _, bad := range []struct {
		segment string
		n       int
	}{{"PID", 0}, {"PID", -1}, {"PID", 99}, {"QQQ", 1}, {"", 1}, {"ZRF", 0}} {
		if _, ok := LookupField(bad.segment, bad.n); ok {
			t.Errorf("%s-%d exists", bad.segment, bad.n)
		}
	}
}

func TestGrammarKnowsTheSegmentsTheGatewayMaps(t *testing.T) {
	all := Segments()
	if !slices.IsSorted(all) {
		t.Error("Segments are not in order")
	}
	for _, s := range []string{"MSH", "MSA", "ERR", "SFT", "EVN", "PID", "PD1", "NK1", "PV1", "PV2", "RF1", "AUT", "PRD", "CTD", "DG1",
		"AL1", "PR1", "OBR", "OBX", "NTE", "ORC", "TXA", "ROL", "GT1", "IN1", "IN2", "IN3", "ACC", "MRG", "SCH", "AIS", "AIG", "AIL",
		"AIP", "RGS", "SPM", "TQ1", "DSC", "QRD", "QRF", "FHS", "BHS", "BTS", "FTS"} {
		if !slices.Contains(all, s) || !LookupSegment(s) {
			t.Errorf("%s is unknown", s)
		}
	}
}

func TestEveryDatatypeOfTheGrammarIsKnown(t *testing.T) {
	check := func(where, datatype string) {
		if _, ok := LookupDatatype(datatype); !ok && datatype != "CM" { // CM: "composite", never defined
			t.Errorf("%s has unknown type %q", where, datatype)
		}
	}
	g := standard()
	for s, fields := range g.fields {
		for i, f := range fields {
			if f.Name != "" {
				check(Path{seg: packed(s), field: uint32(i + 1)}.String(), f.Datatype)
			}
		}
	}
	for name, parts := range g.datatypes {
		for _, c := range parts {
			if c.Name != "" {
				check(name, c.Datatype)
			}
		}
	}
	if c, ok := LookupDatatype("CX"); !ok || c[3] != (Component{"Assigning Authority", "HD", "0363"}) {
		t.Errorf("CX is %v", c)
	}
	if c, ok := LookupDatatype("ST"); !ok || len(c) != 0 {
		t.Errorf("ST is %v %v", c, ok)
	}
	if _, ok := LookupDatatype("XYZ"); ok {
		t.Error("XYZ is known")
	}
}

func TestCheckPath(t *testing.T) {
	for path, want := range map[string]string{
		"PID-3[2].4.2": "", "PID-5.1.1": "", "PID": "", "OBX-5[9].17.4": "", "ZAB-77[2].9": "", "PID-7.1": "", "PID-7.1.1": "", "RF1-6.3": "",
		"QQQ-1":      "no segment QQQ",
		"PID-99":     "PID has no field 99",
		"PID-8[2]":   "PID-8 does not repeat",
		"PID-3.13":   "CX has no component 13",
		"PID-3.4.9":  "HD has no component 9",
		"MSH-10.2":   "ST has no component 2",
		"MSH-10.1.2": "ST has no component 2",
	} {
		if got := CheckPath(MustPath(path)); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
