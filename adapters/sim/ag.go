package sim

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// AGPlatform stands in for an Advice & Guidance platform that speaks FHIR R4 messages: it takes requests
// at POST /fhir/$process-message and later sends its answer, itself a message, to the gateway's own
// $process-message. It checks ids and repeats (409 duplicate), that the Bundle is a message whose
// references all lead somewhere, the patient's NHS number, and that every photo is there: its data
// decoded, its size and hash as the Media says.
//
// It leaves out: authentication, FHIR validation beyond what is said above, amendments and withdrawals
// (taken, kept, without effect), and everything a specialist's screen would do.
type AGPlatform struct {
	server
	Gateway   string                    // where answers go: "http://…/fhir"
	Authorise func(*http.Request) error // credentials for the gateway; nil: none
	HTTP      *http.Client              // nil: a plain client with a 30 s limit

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
	p.act("POST /sim/requests/{id}/answer", "the specialist answers: outcome, recommendation, guidance, priority", func(a acting) (any, error) {
		var x Advice
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return nil, p.Answer(a.Context(), a.PathValue("id"), x)
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
	switch {
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

// checkMessage gives the issue code of a Bundle that is no message; "" when it is one. A message begins
// with its header, and its references lead to its own entries.
func checkMessage(bundle object) string {
	if text(bundle, "resourceType") != "Bundle" || text(bundle, "type") != "message" ||
		text(bundle, "entry", 0, "resource", "resourceType") != "MessageHeader" || text(bundle, "identifier", "value") == "" {
		return "structure"
	}
	urls := map[string]bool{}
	for _, e := range list(bundle, "entry") {
		if urls[text(e, "fullUrl")] {
			return "duplicate"
		}
		urls[text(e, "fullUrl")] = true
	}
	if !resolves(bundle, urls) {
		return "not-found"
	}
	return ""
}

// resolves tells whether every urn:uuid: reference leads to an entry.
func resolves(v any, urls map[string]bool) bool {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["reference"].(string); ok && strings.HasPrefix(ref, "urn:uuid:") && !urls[ref] {
			return false
		}
		for _, child := range v {
			if !resolves(child, urls) {
				return false
			}
		}
	case []any:
		for _, child := range v {
			if !resolves(child, urls) {
				return false
			}
		}
	}
	return true
}

// understand reads a request and its photos.
func understand(bundle object) (*AGRequest, error) {
	q := &AGRequest{Control: text(bundle, "identifier", "value")}
	data := map[string]any{} // Binary resources by fullUrl
	for _, e := range list(bundle, "entry") {
		if text(e, "resource", "resourceType") == "Binary" {
			data[text(e, "fullUrl")] = at(e, "resource", "data")
		}
	}
	for _, e := range list(bundle, "entry") {
		r := at(e, "resource")
		switch text(r, "resourceType") {
		case "Patient":
			q.Patient = identifier(list(r, "identifier"), "https://fhir.nhs.uk/Id/nhs-number")
		case "ServiceRequest":
			q.Priority, q.identifiers = text(r, "priority"), list(r, "identifier")
			q.Kind = coding(list(r, "category", 0, "coding"), "https://fhir.nhs.uk/CodeSystem/message-category-servicerequest")
			for _, n := range list(r, "note") {
				q.Notes = append(q.Notes, text(n, "text"))
			}
		case "Media", "DocumentReference":
			photo, err := decode(r, data)
			if err != nil {
				return nil, err
			}
			q.Photos = append(q.Photos, photo)
		}
	}
	switch {
	case !validNHSNumber(q.Patient):
		return nil, errors.New("sim: Patient.identifier: no NHS number with a right check digit")
	case q.Kind == "":
		return nil, errors.New("sim: ServiceRequest.category: neither request nor referral")
	}
	return q, nil
}

// decode takes a file out of its resource, or out of the Binary that it names, and checks it.
func decode(r any, data map[string]any) (Photo, error) {
	att := at(r, "content")
	if text(r, "resourceType") == "DocumentReference" {
		att = at(r, "content", 0, "attachment")
	}
	p := Photo{Name: text(att, "title"), Type: text(att, "contentType")}
	for _, e := range list(r, "extension") {
		switch name := text(e, "url"); name[strings.LastIndexByte(name, '/')+1:] {
		case "photo-view":
			p.View = text(e, "valueCode")
		case "lesion":
			p.Lesion = text(e, "valueString")
		}
	}
	encoded := text(att, "data")
	if encoded == "" {
		encoded, _ = data[text(att, "url")].(string)
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) == 0 {
		return p, errors.New("sim: Media.content: the photo's data is not here or not base64")
	}
	sum, old := sha256.Sum256(raw), sha1.Sum(raw)
	p.Bytes, p.SHA256 = raw, hex.EncodeToString(sum[:])
	size, stated := at(att, "size").(float64)
	hash := text(att, "hash") // SHA-1, base64 (FHIR R4 Attachment.hash)
	switch {
	case stated && int(size) != len(raw):
		return p, errors.New("sim: Media.content.size: not the size of the data")
	case hash != "" && hash != base64.StdEncoding.EncodeToString(old[:]):
		return p, errors.New("sim: Media.content.hash: not the hash of the data")
	case strings.HasPrefix(text(att, "url"), "urn:sha-256:") && text(att, "url") != "urn:sha-256:"+p.SHA256:
		return p, errors.New("sim: Media.content.url: not the hash of the data")
	}
	return p, nil
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
// own. An error is the gateway's refusal, or that it could not be reached; the same call may then be made
// again, as another message.
func (p *AGPlatform) Answer(ctx context.Context, id string, a Advice) error {
	status := map[string]string{"RETURN_TO_REFERRER_WITH_ADVICE": "REFERRER_TO_REVIEW_RESPONSE",
		"REQUIRE_FURTHER_INFORMATION": "REFERRER_TO_SUBMIT_FURTHER_INFORMATION"}[a.Outcome]
	p.mu.Lock()
	q := p.requests[id]
	if q == nil || status == "" {
		p.mu.Unlock()
		return errors.New("sim: no such request, or no such outcome")
	}
	body, requestID := p.answer(q, a, status), p.uuid()
	p.mu.Unlock()
	return post(ctx, p.HTTP, p.Authorise, p.Gateway, message{requestID, q.Correlation, body})
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
