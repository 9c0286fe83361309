package sim

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Control lets the EPR be told what to do by HTTP on addr, under /sim; it gives the address.
func (e *EPR) Control(addr string) (string, error) {
	return e.listener.Control(addr, func(d *desk) {
		d.act("POST /sim/messages/{n}/outcome", "the hospital decides about a referral, an RRI^I12: code A (accepted) or R (returned), text", func(a acting) (any, error) {
			var x struct{ Code, Text string }
			if err := a.read(&x); err != nil {
				return nil, err
			}
			return e.Outcome(a.Context(), a.PathValue("n"), x.Code, x.Text)
		})
		d.act("POST /sim/messages/{n}/appointment", "its booking system tells of an appointment, a SIU: event S12 to S15 or S26, at YYYYMMDDHHMM", func(a acting) (any, error) {
			var x struct{ Event, At string }
			if err := a.read(&x); err != nil {
				return nil, err
			}
			return e.Appointment(a.Context(), a.PathValue("n"), x.Event, x.At)
		})
	})
}

// Outcome sends what was decided about the n-th referral to Gateway: A accepted, R returned with a text.
func (e *EPR) Outcome(ctx context.Context, n, code, words string) (any, error) {
	m, err := e.referral(n)
	if err != nil {
		return nil, err
	}
	if code != "A" && (code != "R" || words == "") {
		return nil, errors.New("sim: a code is A, or R with a text")
	}
	lines := []string{e.head(m, "RRI^I12^RRI_I12"), "MSA|AA|" + m.field("MSH", 0, 10), "RF1|" + code + "|||||" + m.field("RF1", 0, 6) + "|||||" + m.field("RF1", 0, 11)}
	lines = append(lines, m.patient())
	if words != "" {
		lines = append(lines, "OBX|1|TX|ADVICE^Advice^L||"+escape7(words)+"||||||F")
	}
	return e.send(ctx, []byte(strings.Join(lines, "\r")))
}

var minute = regexp.MustCompile(`^[0-9]{12}$`)

// appointmentStates are SCH-25 by event (HL7 table 0278).
var appointmentStates = map[string]string{"S12": "Booked", "S13": "Booked", "S14": "Booked", "S15": "Cancelled", "S26": "Noshow"}

// Appointment tells Gateway of the appointment of the n-th referral.
func (e *EPR) Appointment(ctx context.Context, n, event, at string) (any, error) {
	m, err := e.referral(n)
	switch {
	case err != nil:
		return nil, err
	case appointmentStates[event] == "" || !minute.MatchString(at):
		return nil, errors.New("sim: an event is S12 (booked), S13 (moved), S14 (changed), S15 (cancelled) or S26 (not attended), at YYYYMMDDHHMM")
	}
	return e.send(ctx, []byte(strings.Join([]string{e.head(m, "SIU^"+event+"^SIU_S12"),
		"SCH|" + n + "^PAS|" + n + "^PAS||||" + event + "|||30|MIN|^^^" + at + "|||||8813^Booker^Ben|||||||||" + appointmentStates[event] + "|" + m.field("RF1", 0, 6),
		m.patient(), "RGS|1", "AIL|1||OPD^1^^" + or(m.field("MSH", 0, 6), "RXX01")}, "\r")))
}

// referral gives the n-th message, a REF.
func (e *EPR) referral(n string) (hl7, error) {
	got, err := e.numbered(n)
	if err != nil {
		return hl7{}, err
	}
	m := split7(got.Raw)
	if m.fieldSep != "|" || m.component != "^" || m.part(m.field("MSH", 0, 9), 1) != "REF" {
		return hl7{}, errors.New("sim: this message is no REF in the usual delimiters")
	}
	return m, nil
}

// head is the MSH of an answer to a message.
func (e *EPR) head(m hl7, kind string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sent++
	at := e.Now().UTC().Format("20060102150405")
	return fmt.Sprintf(`MSH|^~\&|%s|%s|%s|%s|%s||%s|EPR%s%d|P|2.4|||AL|NE||UNICODE UTF-8`, m.field("MSH", 0, 5), m.field("MSH", 0, 6), m.field("MSH", 0, 3), m.field("MSH", 0, 4), at, kind, at, e.sent)
}

// patient is the PID of a message with what tells who it is.
func (m hl7) patient() string {
	return "PID|1||" + m.field("PID", 0, 3) + "||" + m.field("PID", 0, 5) + "||" + m.field("PID", 0, 7) + "|" + m.field("PID", 0, 8)
}

// escape7 writes text into a field of the usual delimiters.
func escape7(s string) string {
	return strings.NewReplacer(`\`, `\E\`, "|", `\F\`, "^", `\S\`, "~", `\R\`, "&", `\T\`, "\r\n", `\.br\`, "\n", `\.br\`, "\r", `\.br\`).Replace(s)
}
