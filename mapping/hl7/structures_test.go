package hl7

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestStructuresAreWhole: every line of messages.txt is read into a structure whose groups are closed, whose
// segments the grammar knows, and which no event leads to twice.
func TestStructuresAreWhole(t *testing.T) {
	all := messageStructures()
	for _, want := range []string{"REF^I12 REF^I13 REF^I14 REF^I15 RRI^I12 RRI^I13 RRI^I14 RRI^I15 ORU^R01 ORM^O01 OMG^O19 ORR^O02 ORG^O20 ACK",
		"MDM^T01 MDM^T02 MDM^T03 MDM^T04 MDM^T05 MDM^T06 MDM^T07 MDM^T08 MDM^T09 MDM^T10 MDM^T11",
		"SIU^S12 SIU^S13 SIU^S14 SIU^S15 SIU^S26"} {
		for e := range strings.FieldsSeq(want) {
			if all.byEvent[e] == nil {
				t.Errorf("%s has no structure", e)
			}
		}
	}
	for n := 1; n <= 62; n++ {
		none := []int{19, 56, 57, 58, 59} // A19 is a query; A56 to A59 do not exist
		if e := "ADT^A" + strconv.Itoa(100 + n)[1:]; (all.byEvent[e] == nil) != slices.Contains(none, n) {
			t.Errorf("%s: structure %v", e, all.byEvent[e])
		}
	}
	words := 0
	for line := range strings.Lines(structuresText) {
		if line[0] != '#' && !strings.HasPrefix(line, "message ") {
			words += len(strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" ()\n?*+:-", r) }))
		}
	}
	for name, s := range all.byName {
		if len(s.nodes) > maxNodes {
			t.Errorf("%s has %d nodes, more than %d", name, len(s.nodes), maxNodes)
		}
		if s.nodes[1].names[0] != msh || s.nodes[1].optional || int(s.nodes[0].end) != len(s.nodes) {
			t.Errorf("%s: %+v", name, s.nodes[:2])
		}
		for i, n := range s.nodes {
			for _, k := range n.names {
				if k == 0 || !LookupSegment(k.String()) {
					t.Errorf("%s has a segment %q the grammar has not", name, k)
				}
			}
			if n.group() && int(n.end) == i+1 {
				t.Errorf("%s: the group %q is empty", name, n.label)
			}
			if n.label != "" && i > 0 || !n.group() {
				words--
			}
		}
	}
	if words != 0 {
		t.Errorf("%d words of messages.txt were not read", words)
	}
}

// message makes a message of segments named in a row.
func message(t testing.TB, msh9, segments string) *Message {
	t.Helper()
	text := "MSH|^~\\&|A|B|C|D|20260105||" + msh9 + "|1|P|2.4" + strings.ReplaceAll(strings.TrimPrefix(segments, "MSH"), " ", "|1\r")
	m, err := Parse([]byte(text + "|1\r"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// owned writes the segments with their owners, as "name<owner's index".
func owned(m *Message) string {
	var out []string
	for i, s := range m.All() {
		name := s.Name()
		if o := m.Owner(i); o >= 0 {
			name += "<" + strconv.Itoa(o)
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

// TestMessagesFitTheirGrammar: for each message type one that uses its groups, in the standard's order; no
// finding, and each segment belongs to the one its group says.
func TestMessagesFitTheirGrammar(t *testing.T) {
	for _, tt := range [][2]string{
		{"REF^I12", "MSH SFT RF1 AUT CTD<3 PRD CTD<5 CTD<5 PRD CTD<8 PID PD1<10 NK1 GT1 IN1 IN2<14 ACC DG1 DG1 AL1 PR1 AUT<20 CTD<21 OBR NTE<23 OBX<23 PRT<25 NTE<25 OBX<23 OBR OBX<29 PV1 PV2<31 NTE<0"},
		{"REF^I14", "MSH PRD PID ZRF1 OBR ZOB OBX<4 NTE<6 ZNT NTE<6"},
		{"RRI^I13^RRI_I12", "MSH MSA RF1 PRD PID DG1 OBR OBX<6 OBX<6 PV1 NTE<0"},
		{"ORU^R01", "MSH PID PD1<1 NTE<1 NK1 PV1 PV2<5 ORC OBR<7 NTE<8 TQ1<8 CTD<8 OBX<8 NTE<12 NTE<12 OBX<8 FT1<8 SPM<8 OBX<17 OBR OBX<19 PID ORC OBR<22 OBX<23 DSC"},
		{"ORU^R01", "MSH PID OBX PRT<2 OBR OBX<4"}, // about the patient, then about the order
		{"MDM^T01", "MSH EVN PID PV1 TXA CON<4"},
		{"MDM^T02", "MSH EVN PID PV1 ORC TQ1<4 OBR<4 NTE<6 TXA OBX<8 NTE<9 OBX<8"},
		{"MDM^T10^MDM_T02", "MSH EVN PID PV1 PV2<3 TXA OBX<5"},
		{"ORM^O01", "MSH NTE<0 PID NTE<2 PV1 PV2<4 IN1 IN2<6 GT1 AL1 ORC OBR<10 NTE<11 DG1<11 OBX<11 NTE<14 OBX<11 FT1<10 BLG<10 ORC RQ1<19 NTE<20 ORC"},
		{"OMG^O19", "MSH PID PV1 ORC TQ1<3 OBR<3 NTE<5 DG1<5 OBX<5 SPM<5 OBX<9 SAC<9 OBX<11 ORC OBR<13 OBX<14 PID PV1<16 AL1<16 ORC<16 OBR<19 OBX<20"},
		{"ORR^O02", "MSH MSA ERR NTE<0 PID NTE<4 ORC OBR<6 NTE<7 ORC NTE<9"},
		{"ORG^O20", "MSH MSA PID ORC TQ1<3 OBR<3 NTE<5 SPM<5 SAC<7 ORC OBR<9"},
		{"SIU^S12", "MSH SCH TQ1<1 NTE<1 PID PD1<4 PV1 PV2<6 OBX DG1 RGS AIS<10 NTE<11 AIG<10 AIL<10 NTE<14 AIP<10 NTE<16 RGS AIS<18"},
		{"SIU^S15", "MSH SCH NTE<1 PID PV1 RGS AIL<5 AIP<5"},
		{"ACK^A01", "MSH SFT MSA ERR ERR"},
		{"ADT^A01", "MSH EVN PID PD1<2 ROL NK1 NK1 PV1 PV2<7 ROL DB1 OBX OBX AL1 DG1 PR1 ROL<15 GT1 IN1 IN2<18 IN3<18 IN1 ACC UB1 PDA"},
		{"ADT^A28", "MSH EVN PID PD1<2 NK1 PV1 AL1"},
		{"ADT^A40", "MSH EVN PID PD1<2 MRG<2 PID MRG<5 PV1<5"},
		{"ADT^A17", "MSH EVN PID PV1 OBX PID PV1 PV2<6"},
		{"ADT^A37", "MSH EVN PID PD1<2 PID"},
	} {
		segments := strings.Fields(tt[1])
		for i, s := range segments {
			segments[i], _, _ = strings.Cut(s, "<")
		}
		m := message(t, tt[0], strings.Join(segments, " "))
		if got := owned(m); got != tt[1] {
			t.Errorf("%s\n got %s\nwant %s", tt[0], got, tt[1])
		}
		if l := m.Validate(&Profile{Structure: Warn}); len(l) != 0 {
			t.Errorf("%s %s: %v", tt[0], tt[1], l)
		}
	}
}

// TestWhatDoesNotFitIsReportedAndKept: other orders, strangers, what is there twice and what is missing. The
// owners show that the segments around it are still understood.
func TestWhatDoesNotFitIsReportedAndKept(t *testing.T) {
	for _, tt := range []struct {
		msh9, segments string // with owners
		want           string
	}{
		{"REF^I12", "MSH PRD PID OBR OBX<3 PV1 OBX<3", "OBX[2]: not expected after PV1 in REF_I12"},
		{"REF^I12", "MSH PRD PID PV1 PV2<3 DG1 OBR OBX<6", "DG1: not expected after PV2 in REF_I12"}, // PV1 comes last
		{"REF^I12", "MSH PID DG1 PRD CTD<3 PRD OBR OBX<6", "PRD: not expected after DG1 in REF_I12"},
		{"REF^I12", "MSH RF1 NTE<1 PRD CTD<3 PID", "NTE: not expected after RF1 in REF_I12"},
		{"REF^I12", "MSH PRD PID NTE<2 DG1 NTE<4 OBR OBX<6", "NTE: not expected after PID in REF_I12\nNTE[2]: not expected after DG1 in REF_I12"},
		{"REF^I12", "MSH PRD PID PID OBR OBX<4", "PID[2]: more often than REF_I12 has it"},
		{"REF^I12", "MSH PRD PID TXA OBR OBX<4", "TXA: not expected after PID in REF_I12"},
		{"REF^I12", "MSH RF1", "PRD: missing in PROVIDER_CONTACT of REF_I12\nPID: missing in REF_I12"},
		{"REF^I12", "MSH PRD PID OBX OBX OBR OBX<5", "OBR: missing in OBSERVATION of REF_I12, which OBX begins"},
		{"ORU^R01", "MSH PID PV1 OBX", "OBR: missing in ORDER_OBSERVATION of ORU_R01, which OBX begins"},
		{"ORU^R01", "MSH PID OBR OBX<2 PV1 OBX<2", "PV1: not expected after OBX in ORU_R01"},
		{"MDM^T02", "MSH EVN PID PV1 OBX OBX TXA", "TXA: not expected after OBX[2] in MDM_T02"},
		{"MDM^T02", "MSH EVN PID PV1 TXA", "OBX: missing in OBSERVATION of MDM_T02"},
		{"ORM^O01", "MSH PID OBR OBX<2", "ORC: missing in ORDER of ORM_O01, which OBR begins"},
		{"OMG^O19", "MSH ORC OBR<1 OBX<2 NTE<3 PRT<3", "PRT: not expected after NTE in OMG_O19"},
		{"ADT^A01", "MSH EVN PV1 PID PD1<3 NK1 PV2<2", "PID: not expected after PV1 in ADT_A01"},
		{"ADT^A40", "MSH EVN PID PV1<2 PID MRG<4", "MRG: missing in PATIENT of ADT_A39, which PID begins"},
		{"ACK", "MSH ERR", "MSA: missing in ACK"},
	} {
		segments := strings.Fields(tt.segments)
		for i, s := range segments {
			segments[i], _, _ = strings.Cut(s, "<")
		}
		m := message(t, tt.msh9, strings.Join(segments, " "))
		l := m.Validate(&Profile{Structure: Warn})
		if got := l.Error(); got != tt.want {
			t.Errorf("%s %s\n got %s\nwant %s", tt.msh9, tt.segments, got, tt.want)
		}
		if got := owned(m); got != tt.segments {
			t.Errorf("%s\n got %s\nwant %s", tt.msh9, got, tt.segments)
		}
	}
}

// TestStructureIsFound by the event, the structure MSH-9 names, or the code where no event stands.
func TestStructureIsFound(t *testing.T) {
	for msh9, want := range map[string]string{
		"REF^I12": "REF_I12", "REF^I12^ADT_A01": "REF_I12", "ADT^A08^ADT_A01": "ADT_A01", "ADT^Z99^ADT_A05": "ADT_A05",
		"ORU": "ORU_R01", "ACK": "ACK", "ACK^R01": "ACK", "MCF": "", "ADT": "", "MDM": "", "SIU^S12": "SIU_S12", "SIU^S14^SIU_S14": "SIU_S12", "DFT^P03": "", "ADT^A19": "", "": "",
		"ABCDEFGHIJKLMNOP^QRSTUVWXYZ": "",
	} {
		got := ""
		if s := message(t, msh9, "MSH PID").structure(); s != nil {
			got = s.name
		}
		if got != want {
			t.Errorf("%q is %q, want %q", msh9, got, want)
		}
	}
}

// TestDisorderEndsSoon: a message of another structure than it claims is given up on, not searched for each
// of its 200,000 segments; what follows still has owners, by the general rules.
func TestDisorderEndsSoon(t *testing.T) {
	text := "MSH|^~\\&|A|B|C|D|20260105||REF^I12|1|P|2.4\rRF1|1\r" + strings.Repeat("NTE|1\rPID|1\rPV1|1\rQQQ|1\r", 50000) + "OBR|1\rOBX|1\r"
	m := mustParse(t, text)
	l := m.Validate(&Profile{Structure: Warn})
	if len(l) != maxFindings+1 {
		t.Errorf("%d findings", len(l))
	}
	if last := m.Segments() - 1; m.Owner(last) != last-1 {
		t.Errorf("the last OBX belongs to %d", m.Owner(last))
	}
}
