package hl7

import (
	"strconv"
	"strings"
	"testing"
)

// TestOwner reads messages as segment names and tells whom each belongs to, as "name<owner's index".
func TestOwner(t *testing.T) {
	tests := map[string]string{
		"MSH RF1 NTE PRD CTD CTD PRD CTD PID PD1 DG1":             "MSH RF1 NTE<1 PRD CTD<3 CTD<3 PRD CTD<6 PID PD1<8 DG1",
		"MSH PID OBR NTE OBX NTE NTE OBX OBR OBX NTE PV1 PV2 NTE": "MSH PID OBR NTE<2 OBX<2 NTE<4 NTE<4 OBX<2 OBR OBX<8 NTE<9 PV1 PV2<11 NTE<12",
		"MSH PID ORC OBR OBX ORC OBR OBX OBR OBX":                 "MSH PID ORC OBR<2 OBX<3 ORC OBR<5 OBX<6 OBR OBX<8",
		"MSH PID ORC OBR TQ1 OBX SPM OBX OBR OBX":                 "MSH PID ORC OBR<2 TQ1<3 OBX<3 SPM<3 OBX<6 OBR OBX<8",
		"MSH PID OBR OBX PID OBX":                                 "MSH PID OBR OBX<2 PID OBX",
		"MSH EVN PID TXA OBX OBX":                                 "MSH EVN PID TXA OBX<3 OBX<3",
		"MSH PID OBX":                                             "MSH PID OBX",
		"MSH PR1 AUT CTD AUT IN1 IN2 IN3 RGS AIS AIP ZZZ":         "MSH PR1 AUT<1 CTD<2 AUT<1 IN1 IN2<5 IN3<5 RGS AIS<8 AIP<8 ZZZ",
		"MSH NTE": "MSH NTE<0",
	}
	for in, want := range tests {
		text := strings.ReplaceAll(in, " ", "\r")
		m := mustParse(t, "MSH|^~\\&|A"+strings.TrimPrefix(text, "MSH"))
		var got []string
		for i, s := range m.All() {
			name := s.Name()
			if o := m.Owner(i); o >= 0 {
				name += "<" + strconv.Itoa(o)
			}
			got = append(got, name)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s\n got %s\nwant %s", in, s, want)
		}
	}
	m := mustParse(t, header)
	if m.Owner(-1) != -1 || m.Owner(1) != -1 {
		t.Error("a segment that is not there has an owner")
	}
}
