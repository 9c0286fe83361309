package sim

import (
	"context"
	"errors"
	"net/http"
	"slices"
)

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

// Control lets the GP system be told what to do by HTTP on addr, under /sim; it gives the address.
func (g *GP) Control(addr string) (string, error) {
	return g.listener.Control(addr, func(d *desk) {
		reviewed := func(a acting, of func(*Review) error) (any, error) {
			var r Review
			if err := a.read(&r); err != nil {
				return nil, err
			}
			if err := of(&r); err != nil {
				return nil, err
			}
			return nil, g.Review(a.Context(), r)
		}
		d.act("POST /sim/review", "the clinician has read an answer: id, answer (its control id), identifiers, patient, person, register, decision, words; or another act: act, notices",
			func(a acting) (any, error) { return reviewed(a, func(*Review) error { return nil }) })
		d.act("POST /sim/messages/{n}/review", "the clinician has read this answer: person, decision (manage-in-primary-care, i-will-refer, ask-again), words", func(a acting) (any, error) {
			return reviewed(a, func(r *Review) error {
				m, err := g.numbered(a.PathValue("n"))
				r.Answer, r.Patient, r.ID = or(r.Answer, m.Control), or(r.Patient, m.Patient), or(r.ID, "review-"+m.Control)
				return err
			})
		})
	})
}

// Review is what a clinician made of an answer.
type Review struct {
	ID          string       `json:"id"`          // id of this message
	Answer      string       `json:"answer"`      // control id of the answer that was read: MSH-10, or Bundle.identifier
	Identifiers []Identifier `json:"identifiers"` // of the request, as the GP system knows it
	Patient     string       `json:"patient"`     // NHS number; may be empty
	Person      string       `json:"person"`      // professional identifier of who read it
	Decision    string       `json:"decision"`    // manage-in-primary-care, i-will-refer, ask-again
	Act         string       `json:"act"`         // empty: "review"; else "cancer-tracking", "attest-told"
	Register    string       `json:"register"`    // identifier system of Person; empty: not said
	Words       string       `json:"words"`       // what the patient reads of the answer, by whoever read it; may be empty
	Notices     []string     `json:"notices"`     // of "attest-told": which, such as N9; empty: all
}

// Identifier of a request.
type Identifier struct {
	System string `json:"system"`
	Value  string `json:"value"`
	Type   string `json:"type"` // "PLAC", "FILL", or empty
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
