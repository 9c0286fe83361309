package hl7

import "testing"

func TestParsePath(t *testing.T) {
	for _, s := range []string{"PID", "PID-3", "PID-3[2]", "PID-3.1", "PID-3[2].1.2", "OBX[2]-5", "OBX[12]-5[3].5.2", "ZRF1-6", "ZRF[2]-6", "ZRF1[2]-6", "PV1-44", "MSH-1"} {
		p, err := ParsePath(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if p.String() != s {
			t.Errorf("%s reads back as %s", s, p)
		}
	}
	p := MustPath("OBX[12]-5[3].6.2")
	if p.Segment() != "OBX" || p.Occurrence() != 12 || p.Field() != 5 || p.Repetition() != 3 || p.Component() != 6 || p.Subcomponent() != 2 {
		t.Errorf("parts of %s are wrong", p)
	}
	if q := p.At(1).Repeat(0).Part(1, 0); q.String() != "OBX[1]-5.1" {
		t.Errorf("changed path is %s", q)
	}
}

func TestParsePathRefuses(t *testing.T) {
	for _, s := range []string{"", "PI", "pid-3", "PID3", "PID-", "PID-0", "PID-03", "PID-3[0]", "PID-3[]", "PID-3[2", "PID-3.0", "PID-3.1.2.3",
		"PID-3.", "PID[0]-3", "PID -3", "PID-3 ", "PIDX-3", "1ID-3", "PID-99999999999999999999", "PID.3.1", "PID-3.1-2", "ZRF12-1"} {
		if p, err := ParsePath(s); err == nil {
			t.Errorf("%q was taken for %s", s, p)
		}
		var p Path
		if p.UnmarshalText([]byte(s)) == nil {
			t.Errorf("UnmarshalText took %q", s)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("MustPath did not panic")
		}
	}()
	MustPath("PID-0")
}

func TestSegmentGetIgnoresWhichSegmentThePathNames(t *testing.T) {
	m := mustParse(t, header+"\rOBX|1|ST\rOBX|2|ED^x")
	if got := m.Segment(2).Get(MustPath("OBX-2.2")).Text(); got != "x" {
		t.Errorf("got %q", got)
	}
	if got := m.Get(MustPath("OBX[2]")); got.Presence() != Absent {
		t.Errorf("a path without a field gave %v", got.Presence())
	}
}
