package starter

import (
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping"
)

// samples are segments of a made-up message, in the order that messages have them.
var samples = []struct{ name, text string }{
	{"EVN", "EVN|%T|20261124101500"},
	{"MSA", "MSA|AA|DG00000001"},
	{"RF1", "RF1|A|R^Routine^HL70280|DERM^Dermatology^L|||REF0001^EMIS|20261124101500"},
	{"PRD", "PRD|RP^Referring Provider^HL70286|Okafor^Ngozi^^^Dr|||||G5612908^GMP"},
	{"PID", "PID|1||9990001014^^^NHS^NH||Testcase^Rosalind^Ann||19680412|2"},
	{"MRG", "MRG|X122^^^RXX^MR"},
	{"PV1", "PV1|1|O"},
	{"NK1", "NK1|1|Testcase^Edmund"},
	{"ORC", "ORC|NW|REF0001^EMIS"},
	{"OBR", "OBR|1|REF0001^EMIS||SKINLESION^Skin lesion^L"},
	{"OBX", "OBX|1|ST|QUESTION^Clinical question^L||Excise or watch?||||||F"},
	{"NTE", "NTE|1||A note."},
	{"TXA", "TXA|1|CN|TX|20261124101500||||||||DOC0001^RXX|||||AU"},
	{"AL1", "AL1|1|DA|387207008^Ibuprofen^SCT"},
	{"DG1", "DG1|1||400010006^Melanocytic naevus of skin^SCT||20261124|W"},
}

// caseOf begins the case of a message into FHIR that has a segment.
func (j *job) caseOf(m mapping.MessageMap, segment string) File {
	return File{"cases/" + j.name + ".txtar", "What " + j.name + " makes of a message. Put a message of your sender here (a made-up patient), then: gateway test --update\n" +
		"-- in.hl7 --\n" + sample(m, segment)}
}

// caseOut begins the case of a message out of FHIR.
func (j *job) caseOut(out, segment string) File {
	form := strings.TrimSuffix(strings.TrimPrefix(out, "Bundle["), "]")
	in := "REF_I12"
	if form == "RRI_I12" || form == "ORU_R01" {
		in = "RRI_I12" // an answer: it has a Task
	}
	return File{"cases/" + j.name + ".txtar", "The " + form + " that " + j.name + " writes. Put what it is made from here (a made-up patient), then: gateway test --update\n" +
		"-- in.hl7 --\n" + sample(j.messageMap(in), "PID") + "-- want." + form + ".hl7 --\n-- want.issues --\n"}
}

// sample gives a message that a map takes, a segment a line.
func sample(m mapping.MessageMap, segment string) string {
	event := m.Events[0]
	code, trigger, _ := strings.Cut(event, "^")
	needs := append([]string{"PID", segment}, m.Needs...)
	switch code {
	case "ADT", "MDM":
		needs = append(needs, "EVN", "PV1")
	case "REF":
		needs = append(needs, "RF1", "PRD", "OBR", "OBX")
	case "RRI":
		needs = append(needs, "MSA", "RF1")
	case "ACK":
		needs = append(needs, "MSA")
	}
	out := "MSH|^~\\&|PAS|RXX01|DERMGATE|RXX01|20261124101500||" + event + "^" + m.Name + "|STARTER1|P|2.4\n"
	for _, s := range samples {
		if slices.Contains(needs, s.name) {
			out += strings.Replace(s.text, "%T", trigger, 1) + "\n"
			needs = slices.DeleteFunc(needs, func(n string) bool { return n == s.name })
		}
	}
	for _, n := range needs {
		if n != "" && n != "MSH" {
			out += n + "|1\n"
		}
	}
	return out
}
