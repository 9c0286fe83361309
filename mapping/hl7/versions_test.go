package hl7

import "testing"

// TestVersionsKnowTheirPlaces: what the standard's own tables say, version by version (2.3 to 2.8, chapters 2, 3, 7, 9, 11).
func TestVersionsKnowTheirPlaces(t *testing.T) {
	for _, c := range []struct {
		version, segment      string
		field, rep, comp, sub int
		lacks                 string
	}{
		{"2.3", "MSH", 9, 1, 2, 0, ""},
		{"2.3", "MSH", 9, 1, 3, 0, "no such component"}, // the structure came with 2.3.1
		{"2.3.1", "MSH", 9, 1, 3, 0, ""},
		{"2.3", "MSH", 18, 2, 0, 0, "no repetitions of this field"},
		{"2.3.1", "MSH", 18, 2, 0, 0, ""},
		{"2.3", "MSH", 21, 1, 0, 0, "no such field"},
		{"2.3.1", "PID", 32, 1, 0, 0, "no such field"},
		{"2.4", "PID", 32, 1, 0, 0, ""},
		{"2.5.1", "OBX", 20, 1, 0, 0, "no such field"}, // reserved for 2.6
		{"2.4", "OBX", 20, 1, 0, 0, "no such field"},
		{"2.5.1", "PRD", 10, 1, 1, 0, "no such field"},
		{"2.6", "PRD", 10, 1, 1, 0, ""},
		{"2.5.1", "RF1", 10, 1, 9, 0, "no such component"}, // CE
		{"2.6", "RF1", 10, 1, 9, 0, ""},                    // CWE
		{"2.4", "PID", 13, 1, 12, 0, "no such component"},
		{"2.5", "PID", 13, 1, 12, 0, ""},
		{"2.3.1", "PID", 5, 1, 1, 1, ""},
		{"2.7", "AL1", 6, 1, 0, 0, "no such field"},
		{"2.7", "EVN", 1, 1, 0, 0, "no such field"}, // withdrawn
		{"2.4", "PRT", 1, 1, 0, 0, "no such segment"},
		{"2.3", "TXA", 17, 1, 2, 0, "no such component"},
		{"2.3", "PID", 3, 1, 4, 2, ""},
		{"2.3", "PID", 3, 1, 1, 2, "no such sub-component"},
		{"2.4", "OBX", 5, 1, 9, 0, ""},
		{"2.4", "ZXX", 70, 3, 9, 9, ""},
	} {
		v, ok := VersionOf(c.version)
		if !ok {
			t.Fatal(c.version)
		}
		if got := v.Lacks(c.segment, c.field, c.rep, c.comp, c.sub); got != c.lacks {
			t.Errorf("%s %s-%d[%d].%d.%d: %q, want %q", c.version, c.segment, c.field, c.rep, c.comp, c.sub, got, c.lacks)
		}
	}
	for _, c := range [][3]string{{"2.5.1", "CE", "CE"}, {"2.5.1", "CWE", "CE"}, {"2.7", "CE", "CWE"}, {"2.4", "DTM", "TS"}, {"2.8", "TS", "DTM"}, {"2.8", "ED", "ED"}} {
		if v, _ := VersionOf(c[0]); v.Datatype(c[1]) != c[2] {
			t.Errorf("%s calls %s %s, want %s", c[0], c[1], v.Datatype(c[1]), c[2])
		}
	}
	if _, ok := VersionOf("2.2"); ok {
		t.Error("2.2 is written")
	}
}

// TestEveryVersionIsOfTheUnion: what a version has, the grammar that maps are checked against has too.
func TestEveryVersionIsOfTheUnion(t *testing.T) {
	for name := range standard().fields {
		for n := 1; n <= 60; n++ {
			_, known := LookupField(name, n)
			for v := range Versions {
				if d := (Version{v}).define(name, n); d.datatype != "" && !known {
					t.Errorf("%s-%d is of %s and not of the union", name, n, Versions[v])
				}
			}
		}
	}
	v, _ := VersionOf("2.4")
	for path, want := range map[string]int{"PID-7": 26, "NTE-3": 65536, "MSH-10": 20, "RF1-6": 30} {
		p := MustPath(path)
		if got := v.Length(p.Segment(), p.Field(), p.Component(), p.Subcomponent()); got != want {
			t.Errorf("%s of 2.4: %d characters, want %d", path, got, want)
		}
	}
}
