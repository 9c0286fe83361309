package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// EPR stands in for a hospital's electronic patient record that takes referrals as REF^I12 to I15 by MLLP.
// It decodes the photos in OBX, answers AA, or AE with ERR naming what is wrong (header, message type,
// patient, request, photo), and takes a repeated MSH-10 once.
//
// It leaves out: other transports, TLS, enhanced acknowledgement, patient matching (every NHS number with
// a right check digit is a patient), PAS booking, and sending anything by itself (use Send for an RRI).
type EPR struct{ listener }

// StartEPR starts an EPR on addr ("": any free loopback port).
func StartEPR(addr string) (*EPR, error) {
	e := &EPR{}
	e.judge = func(m hl7) []string {
		return slices.Concat(header(m, "REF"), body(m, "RF1"))
	}
	if err := e.listen(addr); err != nil {
		return nil, err
	}
	return e, nil
}

// GP stands in for a GP system: it sends requests by MLLP and takes the answers, RRI, ORU, MDM and late
// acknowledgements, by MLLP. It can tell the gateway that its clinician has read an answer (a FHIR Task).
//
// It leaves out: other transports for HL7, TLS, filing, and reading answers by itself: nothing happens
// that the caller does not do.
type GP struct {
	listener
	FHIR      string                    // the gateway's FHIR base, "http://…/fhir"
	Authorise func(*http.Request) error // credentials for it; nil: none
	HTTP      *http.Client              // nil: a plain client with a 30 s limit
}

// StartGP starts a GP system whose receiver is on addr ("": any free loopback port).
func StartGP(addr string) (*GP, error) {
	g := &GP{}
	g.judge = func(m hl7) []string {
		if m.part(m.field("MSH", 0, 9), 1) == "ACK" {
			return header(m, "ACK")
		}
		return slices.Concat(header(m, "RRI", "ORU", "MDM"), body(m, ""))
	}
	if err := g.listen(addr); err != nil {
		return nil, err
	}
	return g, nil
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

// Review is what a clinician made of an answer.
type Review struct {
	ID          string       // id of this message
	Answer      string       // control id of the answer that was read: MSH-10, or Bundle.identifier
	Identifiers []Identifier // of the request, as the GP system knows it
	Patient     string       // NHS number; may be empty
	Person      string       // professional identifier of who read it
	Decision    string       // manage-in-primary-care, i-will-refer, ask-again
	Act         string       // empty: "review"; else "cancer-tracking", "attest-told"
	Register    string       // identifier system of Person; empty: not said
	Words       string       // what the patient reads of the answer, by whoever read it; may be empty
	Notices     []string     // of "attest-told": which, such as N9; empty: all
}

// Identifier of a request.
type Identifier struct {
	System string
	Value  string
	Type   string // "PLAC", "FILL", or empty
}

// Review tells the gateway that an answer was read: a Task update as a message, POSTed to
// $process-message. The error is the gateway's refusal.
func (g *GP) Review(ctx context.Context, r Review) error {
	if r.ID == "" || r.Person == "" {
		return errors.New("sim: a review needs an id and a person")
	}
	return post(ctx, g.HTTP, g.Authorise, g.FHIR, message{requestID: r.ID, bundle: review(r)})
}

func review(r Review) object {
	const header, request, patient, task = "urn:uuid:5157d0d0-0000-4000-8001-000000000001", "urn:uuid:5157d0d0-0000-4000-8001-000000000002",
		"urn:uuid:5157d0d0-0000-4000-8001-000000000003", "urn:uuid:5157d0d0-0000-4000-8001-000000000004"
	if r.Act == "" {
		r.Act = "review"
	}
	head := object{"resourceType": "MessageHeader", "source": object{"name": "GP system", "endpoint": "urn:gp"}, "focus": []any{object{"reference": task}},
		"eventCoding": object{"system": "https://fhir.nhs.uk/CodeSystem/message-events-bars", "code": "servicerequest-request"},
		"reason":      object{"coding": []any{object{"system": "https://fhir.nhs.uk/CodeSystem/message-reason-bars", "code": "update"}}}}
	if r.Answer != "" {
		head["response"] = object{"identifier": r.Answer, "code": "ok"}
	}
	asked := object{"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": object{"reference": patient}}
	if ids := r.identifiers(); ids != nil {
		asked["identifier"] = ids
	}
	done := object{"resourceType": "Task", "status": "completed", "intent": "order", "focus": object{"reference": request},
		"for":   object{"reference": patient},
		"code":  object{"coding": []any{object{"system": "https://dermgate.github.io/fhir/CodeSystem/act", "code": r.Act}}},
		"owner": object{"identifier": object{"value": r.Person}}}
	if r.Register != "" {
		done["owner"] = object{"identifier": object{"system": r.Register, "value": r.Person}}
	}
	if out := r.outputs(); out != nil {
		done["output"] = out
	}
	entry := func(url string, resource object) object { return object{"fullUrl": url, "resource": resource} }
	return object{"resourceType": "Bundle", "type": "message", "identifier": object{"system": "urn:gp", "value": r.ID}, "entry": []any{
		entry(header, head), entry(request, asked), entry(task, done),
		entry(patient, r.patient()),
	}}
}

// outputs are what the Task says besides.
func (r Review) outputs() (out []any) {
	add := func(code, name, value string) {
		if value != "" {
			out = append(out, object{name: value, "type": object{"coding": []any{object{"system": "https://dermgate.github.io/fhir/CodeSystem/task-output", "code": code}}}})
		}
	}
	add("decision", "valueCode", r.Decision)
	add("patient-words", "valueString", r.Words)
	for _, n := range r.Notices {
		add("notice", "valueCode", n)
	}
	return out
}

// patient names the patient by NHS number; without one the request's identifiers must do.
func (r Review) patient() object {
	if r.Patient == "" {
		return object{"resourceType": "Patient", "active": true}
	}
	return object{"resourceType": "Patient", "identifier": []any{object{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": r.Patient}}}
}

func (r Review) identifiers() []any {
	var out []any
	for _, id := range r.Identifiers {
		i := object{"value": id.Value}
		if id.System != "" {
			i["system"] = id.System
		}
		if id.Type != "" {
			i["type"] = object{"coding": []any{object{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": id.Type}}}
		}
		out = append(out, i)
	}
	return out
}
