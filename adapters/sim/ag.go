package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// AGPlatform stands in for an Advice & Guidance platform that speaks FHIR R4 messages: it takes requests
// at POST /fhir/$process-message and later sends its answer, itself a message, to the gateway's own
// $process-message. It checks ids and repeats (409 duplicate), that the Bundle is a message whose
// references all lead somewhere, the patient's NHS number, and that every photo is there: its data
// decoded, its size and hash as the Media says. With Polled it sends nothing, and answers searches.
//
// It leaves out: FHIR validation beyond what is said above, amendments and withdrawals
// (taken, kept, without effect), and everything a specialist's screen would do.
type AGPlatform struct {
	server
	Tokens    Bearers                   // who knows tokens; nil: none are asked for
	Gateway   string                    // where answers go: "http://…/fhir"
	Authorise func(*http.Request) error // credentials for the gateway; nil: none
	HTTP      *http.Client              // nil: a plain client with a 30 s limit
	Polled    bool                      // answers are not sent: they are asked for by searches for Task and Communication

	requests map[string]*AGRequest // by our id
	order    []string
	done     map[string]bool // "<X-Request-ID> <X-Correlation-ID>"
}

// AGRequest is a request as the platform understood it.
type AGRequest struct {
	ID          string // the platform's own, "AG-1"
	Control     string // Bundle.identifier.value
	Correlation string // X-Correlation-ID
	Patient     string // NHS number
	Kind        string // "request" or "referral"
	Priority    string // ServiceRequest.priority
	Notes       []string
	Photos      []Photo
	identifiers []any // of the ServiceRequest
	said        Advice
	unsent      *message // what was said and is not taken yet
	shown       []any    // entries of what was said, where it is asked for
}

// Photo is a photo or document that arrived, decoded.
type Photo struct {
	Name, Type, View, Lesion, SHA256 string
	Bytes                            []byte
}

// agSystem is the platform's identifier system.
const agSystem = "https://ag.example/Id/request"

// StartAG starts an A&G platform on addr ("": any free loopback port).
func StartAG(addr string) (*AGPlatform, error) {
	p := &AGPlatform{requests: map[string]*AGRequest{}, done: map[string]bool{}}
	p.problem = fhirProblem
	if err := p.listen(addr); err != nil {
		return nil, err
	}
	p.handle("$process-message", "POST /fhir/$process-message", p.take)
	p.searches()
	p.act("POST /sim/requests/{id}/answer", "the specialist answers: outcome, recommendation, guidance, priority", func(a acting) (any, error) {
		var x Advice
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return nil, p.Answer(a.Context(), a.PathValue("id"), x)
	})
	p.act("GET /sim/requests", "the requests that were taken", func(acting) (any, error) { return p.list(), nil })
	p.act("GET /sim/requests/{id}/photos/{photo}", "one photo of a request, the first is 1", func(a acting) (any, error) {
		n, _ := strconv.Atoi(a.PathValue("photo"))
		p.mu.Lock()
		defer p.mu.Unlock()
		q := p.requests[a.PathValue("id")]
		if q == nil || n < 1 || n > len(q.Photos) {
			return nil, errNothing
		}
		return raw{q.Photos[n-1].Type, q.Photos[n-1].Bytes}, nil
	})
	return p, nil
}

// Base is what a client is configured with.
func (p *AGPlatform) Base() string { return p.URL + "/fhir" }

// Requests gives what was taken, in order.
func (p *AGPlatform) Requests() []AGRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []AGRequest
	for _, id := range p.order {
		out = append(out, *p.requests[id])
	}
	return out
}

// list gives the requests in few words.
func (p *AGPlatform) list() []object {
	out := []object{}
	for _, q := range p.Requests() {
		photos := []object{}
		for _, f := range q.Photos {
			photos = append(photos, object{"name": f.Name, "type": f.Type, "view": f.View, "lesion": f.Lesion, "sha256": f.SHA256, "size": len(f.Bytes)})
		}
		out = append(out, object{"id": q.ID, "control": q.Control, "correlation": q.Correlation, "patient": q.Patient, "kind": q.Kind, "priority": q.Priority, "notes": q.Notes, "photos": photos})
	}
	return out
}

// fhirProblem is an OperationOutcome; code is its issue.code.
func fhirProblem(status int, code string) answer {
	if code == "" {
		code = "transient"
	}
	return answer{status: status, header: map[string]string{"Content-Type": fhirJSON}, body: object{"resourceType": "OperationOutcome",
		"issue": []any{object{"severity": "error", "code": code}}}}
}

// take is POST /fhir/$process-message.
func (p *AGPlatform) take(r request) answer {
	a := p.process(r)
	a.header = with(a.header, "X-Request-ID", r.Header.Get("X-Request-ID"), "X-Correlation-ID", r.Header.Get("X-Correlation-ID"))
	return a
}

func (p *AGPlatform) process(r request) answer {
	id, conversation := r.Header.Get("X-Request-ID"), r.Header.Get("X-Correlation-ID")
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	valid := true
	if p.Tokens != nil {
		_, valid = p.Tokens.Bearer(token)
	}
	switch {
	case !valid:
		return fhirProblem(http.StatusUnauthorized, "login")
	case !strings.HasPrefix(r.Header.Get("Content-Type"), fhirJSON):
		return fhirProblem(http.StatusUnsupportedMediaType, "not-supported")
	case id == "" || conversation == "":
		return fhirProblem(http.StatusBadRequest, "required")
	case p.done[id+" "+conversation]:
		return fhirProblem(http.StatusConflict, "duplicate")
	}
	bundle := parse(r.body)
	if code := checkMessage(bundle); code != "" {
		return fhirProblem(http.StatusBadRequest, code)
	}
	q, err := understand(bundle)
	if err != nil {
		return answer{status: http.StatusUnprocessableEntity, header: map[string]string{"Content-Type": fhirJSON}, body: object{
			"resourceType": "OperationOutcome", "issue": []any{object{"severity": "error", "code": "invalid", "diagnostics": err.Error()}}}}
	}
	p.done[id+" "+conversation] = true
	q.ID, q.Correlation = fmt.Sprintf("AG-%d", p.next()), conversation
	p.requests[q.ID] = q
	p.order = append(p.order, q.ID)
	return answer{status: http.StatusOK, header: map[string]string{"Content-Type": fhirJSON}, body: p.message(q,
		object{"fullUrl": "urn:uuid:" + p.uuid(), "resource": object{"resourceType": "ServiceRequest", "status": "active", "intent": "order",
			"identifier": []any{object{"system": agSystem, "value": q.ID}}, "subject": object{"display": "as in the request"}}})}
}

// message wraps resources into a response message about a request.
func (p *AGPlatform) message(q *AGRequest, entries ...any) object {
	header := object{"fullUrl": "urn:uuid:" + p.uuid(), "resource": object{"resourceType": "MessageHeader",
		"eventCoding": object{"system": "https://fhir.nhs.uk/CodeSystem/message-events-bars", "code": "servicerequest-response"},
		"source":      object{"name": "A&G platform", "endpoint": p.Base()},
		"response":    object{"identifier": q.Control, "code": "ok"}}}
	return object{"resourceType": "Bundle", "type": "message", "timestamp": p.Now().UTC().Format(time.RFC3339),
		"identifier": object{"system": agSystem, "value": p.uuid()}, "entry": append([]any{header}, entries...)}
}

// Answer lets the specialist answer a request: the answer is posted to the gateway as a message of its
// own. An error is the gateway's refusal, or that it could not be reached; the same call sends the same message again.
func (p *AGPlatform) Answer(ctx context.Context, id string, a Advice) error {
	status := map[string]string{"RETURN_TO_REFERRER_WITH_ADVICE": "REFERRER_TO_REVIEW_RESPONSE",
		"REQUIRE_FURTHER_INFORMATION": "REFERRER_TO_SUBMIT_FURTHER_INFORMATION"}[a.Outcome]
	p.mu.Lock()
	q := p.requests[id]
	switch {
	case q == nil:
		p.mu.Unlock()
		return errNothing
	case status == "" || a.Guidance == "":
		p.mu.Unlock()
		return errors.New("sim: an answer has guidance and an outcome: RETURN_TO_REFERRER_WITH_ADVICE or REQUIRE_FURTHER_INFORMATION")
	}
	if p.Polled {
		defer p.mu.Unlock()
		p.show(q, p.answer(q, a, status))
		return nil
	}
	if q.unsent == nil || !reflect.DeepEqual(q.said, a) {
		q.said, q.unsent = a, &message{bundle: p.answer(q, a, status), requestID: p.uuid(), correlation: q.Correlation}
	}
	m := *q.unsent
	p.mu.Unlock()
	if err := post(ctx, p.HTTP, p.Authorise, p.Gateway, m); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q.unsent = nil
	return nil
}

// answer writes the answer Bundle: the request by its identifiers, the Task's outcome, the advice itself.
func (p *AGPlatform) answer(q *AGRequest, a Advice, status string) object {
	patient, request := "urn:uuid:"+p.uuid(), "urn:uuid:"+p.uuid()
	output := []any{}
	for _, o := range [][2]string{{"outcome", a.Outcome}, {"recommendation", a.Recommendation}, {"priority", a.Priority}} {
		if o[1] != "" {
			output = append(output, object{"type": object{"coding": []any{object{
				"system": "https://dermgate.github.io/fhir/CodeSystem/task-output", "code": o[0]}}}, "valueCode": o[1]})
		}
	}
	subject := object{"reference": patient}
	return p.message(q,
		object{"fullUrl": request, "resource": object{"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": subject,
			"identifier": append([]any{object{"system": agSystem, "value": q.ID}}, q.identifiers...),
			"category":   []any{object{"coding": []any{object{"system": "https://fhir.nhs.uk/CodeSystem/message-category-servicerequest", "code": q.Kind}}}}}},
		object{"fullUrl": patient, "resource": object{"resourceType": "Patient", "identifier": []any{object{
			"system": "https://fhir.nhs.uk/Id/nhs-number", "value": q.Patient}}}},
		object{"fullUrl": "urn:uuid:" + p.uuid(), "resource": object{"resourceType": "Task", "status": "completed", "intent": "order",
			"businessStatus": object{"coding": []any{code("eRS-AdviceAndGuidanceStatus-1", status)}},
			"focus":          object{"reference": request}, "for": subject, "output": output}},
		object{"fullUrl": "urn:uuid:" + p.uuid(), "resource": object{"resourceType": "Communication", "status": "completed",
			"basedOn": []any{object{"reference": request}}, "subject": subject, "sent": p.Now().UTC().Format(time.RFC3339),
			"payload": []any{object{"contentString": a.Guidance}}}})
}

// message is something to post to the gateway.
type message struct {
	requestID, correlation string
	bundle                 object
}

// post sends a message to a gateway's $process-message and wants a 200.
func post(ctx context.Context, client *http.Client, authorise func(*http.Request) error, base string, m message) error {
	body, err := json.Marshal(m.bundle)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(base, "/")+"/$process-message", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", fhirJSON)
	req.Header.Set("X-Request-ID", m.requestID)
	if m.correlation != "" {
		req.Header.Set("X-Correlation-ID", m.correlation)
	}
	if authorise != nil {
		if err := authorise(req); err != nil {
			return err
		}
	}
	if client == nil {
		client = &http.Client{Timeout: 30 * time.Second}
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("sim: the gateway answered %d: %s", resp.StatusCode, said)
	}
	return nil
}
