package sim

import (
	"fmt"
	"maps"
	"slices"
)

// EPR stands in for a hospital's electronic patient record that takes referrals as REF^I12 to I15, documents as MDM and
// the records of persons as ADT^A28 and A31 by MLLP. It decodes the photos in OBX, answers AA, or AE with ERR naming what is
// wrong (header, message type, patient, request, photo), and takes a repeated MSH-10 once.
//
// It leaves out: other transports, TLS, enhanced acknowledgement, patient matching (every NHS number with
// a right check digit is a patient), and sending anything by itself (use Outcome, Appointment or Send).
type EPR struct {
	listener
	Registered bool // it takes nothing about a patient before an ADT^A28 of theirs (AE 204), and each A28 once (AE 205)
}

// StartEPR starts an EPR on addr ("": any free loopback port).
func StartEPR(addr string) (*EPR, error) {
	e := &EPR{}
	e.judge = func(m hl7) []string {
		needed := map[string]string{"REF": "RF1", "MDM": "TXA"}
		if event := m.part(m.field("MSH", 0, 9), 2); event == "A28" || event == "A31" {
			needed["ADT"] = "EVN"
		}
		return slices.Concat(header(m, slices.Sorted(maps.Keys(needed))...), body(m, needed[m.part(m.field("MSH", 0, 9), 1)]), e.known(m))
	}
	if err := e.listen(addr); err != nil {
		return nil, err
	}
	return e, nil
}

// known judges whether a message is about a patient whose record is there. The lock is held.
func (e *EPR) known(m hl7) []string {
	if !e.Registered {
		return nil
	}
	adds := m.part(m.field("MSH", 0, 9), 2) == "A28"
	there := slices.ContainsFunc(e.got, func(g Message) bool { return g.Type == "ADT^A28" && g.Patient == m.nhs() })
	switch {
	case adds && there:
		return []string{"PID^1^3:205"}
	case !adds && !there:
		return []string{"PID^1^3:204"}
	}
	return nil
}

// header checks MSH for one of the message codes.
func header(m hl7, codes ...string) []string {
	var faults []string
	if len(m.segments) == 0 {
		return []string{"MSH^1^1:100"}
	}
	if !slices.Contains(codes, m.part(m.field("MSH", 0, 9), 1)) {
		faults = append(faults, "MSH^1^9:200")
	}
	for _, n := range []int{7, 10, 11, 12} { // the required ones (HL7 v2.4 §2.16.9)
		if m.field("MSH", 0, n) == "" {
			faults = append(faults, fmt.Sprintf("MSH^1^%d:101", n))
		}
	}
	if len(m.all("MSH")) != 1 {
		faults = append(faults, "MSH^2:100")
	}
	return faults
}

// body checks the patient, the segment that must be there, and the photos.
func body(m hl7, needed string) []string {
	var faults []string
	if m.nhs() == "" {
		faults = append(faults, "PID^1^3:101")
	}
	if needed != "" && len(m.all(needed)) == 0 {
		faults = append(faults, needed+"^1:100")
	}
	if _, bad := m.photos(); bad > 0 {
		faults = append(faults, "OBX^1^5:102")
	}
	return faults
}
