package ers

import (
	"strconv"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// bundle writes the news as a canonical R4 answer Bundle. It depends on nothing but what e-RS showed: the
// same version read again gives the same bytes.
func (n news) bundle(source string) ([]byte, error) {
	b, err := fhir.NewBundle(fhir.NewTree(), "message")
	if err != nil {
		return nil, err
	}
	w := &answer{scribe{bundle: b, about: n.id()}, n}
	w.identifier(b.Root, "urn:dermgate:source:"+source, n.id())
	if sent := n.sent(); sent != "" {
		w.set(b.Root, "timestamp", sent)
	}
	w.header(source)
	w.request()
	w.patient()
	w.task()
	for i, t := range n.texts {
		w.communication(i, t)
	}
	if w.err != nil {
		return nil, w.err
	}
	return fhir.AppendJSON(nil, b.Root)
}

// sent gives the time of the latest text, empty when e-RS shows none.
func (n news) sent() string {
	if len(n.texts) == 0 {
		return ""
	}
	return n.texts[len(n.texts)-1].sent
}

// answer writes the resources of news.
type answer struct {
	scribe
	news news
}

// scribe writes resources and keeps the first error.
type scribe struct {
	bundle *fhir.Bundle
	about  string // what all urls are derived from
	err    error
}

// url derives a resource's fullUrl.
func (w *scribe) url(resource string) string {
	return "urn:uuid:" + flow.NewID(0, "ers-answer", w.about, resource).String()
}

func (w *scribe) resource(name, typ string) fhir.Element {
	if w.err != nil {
		return fhir.Element{}
	}
	var e fhir.Element
	e, w.err = w.bundle.Add(w.url(name), typ)
	return e
}

func (w *scribe) set(e fhir.Element, name, value string) {
	if w.err == nil && value != "" {
		w.err = e.Set(name, value)
	}
}

func (w *scribe) add(e fhir.Element, name string) fhir.Element {
	if w.err != nil {
		return fhir.Element{}
	}
	var c fhir.Element
	c, w.err = e.Add(name)
	return c
}

func (w *scribe) identifier(e fhir.Element, system, value string) {
	if value == "" {
		return
	}
	id := w.add(e, "identifier")
	w.set(id, "system", system)
	w.set(id, "value", value)
}

func (w *scribe) coding(e fhir.Element, name, system, code string) {
	c := w.add(w.add(e, name), "coding")
	w.set(c, "system", system)
	w.set(c, "code", code)
}

func (w *scribe) refer(e fhir.Element, name, to string) {
	w.set(w.add(e, name), "reference", w.url(to))
}

// messageHeader begins the MessageHeader of what a source reads in e-RS.
func (w *scribe) messageHeader(event, source string) fhir.Element {
	h := w.resource("header", "MessageHeader")
	coding := w.add(h, "eventCoding")
	w.set(coding, "system", fhir.SystemMessageEvents)
	w.set(coding, "code", event)
	from := w.add(h, "source")
	w.set(from, "name", "NHS e-Referral Service")
	w.set(from, "endpoint", "urn:dermgate:source:"+source)
	return h
}

func (w *answer) header(source string) {
	h := w.messageHeader("servicerequest-response", source)
	w.refer(h, "focus", "task")
	if w.news.request != "" {
		response := w.add(h, "response")
		w.set(response, "identifier", w.news.request)
		w.set(response, "code", "ok")
	}
}

// request names the request by all identifiers that e-RS has for it, so that its case is found.
func (w *answer) request() {
	r := w.resource("request", "ServiceRequest")
	w.identifier(r, fhir.SystemUBRN, w.news.ubrn)
	w.identifier(r, fhir.SystemERSRequest, w.news.requestID)
	category, status := "referral", "active"
	if w.news.kind == kindAdvice {
		category = "request"
	}
	switch w.news.status {
	case "CONVERSATION_ENDED_CANCELLED", "CANCELLED_REFERRAL":
		status = "revoked"
	case "CONVERSATION_ENDED_CLOSED", "ADVICE_CONVERTED":
		status = "completed"
	}
	w.set(r, "status", status)
	w.set(r, "intent", "order")
	w.coding(r, "category", fhir.SystemRequestCategory, category)
	w.refer(r, "subject", "patient")
}

func (w *answer) patient() {
	w.identifier(w.resource("patient", "Patient"), fhir.SystemNHSNumber, w.news.patient)
}

func (w *answer) task() {
	t := w.resource("task", "Task")
	w.set(t, "status", taskStatus(w.news.status))
	system := fhir.SystemReferralState
	if w.news.kind == kindAdvice {
		system = fhir.SystemAGStatus
	}
	w.coding(t, "businessStatus", system, w.news.status)
	w.set(t, "intent", "order")
	w.refer(t, "focus", "request")
	w.refer(t, "for", "patient")
	w.output(t, "outcome", "valueCode", w.news.outcome)
	w.output(t, "priority", "valueCode", w.news.priority)
	if w.news.kind == kindReferral && len(w.news.texts) > 0 {
		w.output(t, "comment", "valueString", w.news.texts[0].words)
	}
}

func (w *answer) output(t fhir.Element, code, as, value string) {
	if value == "" {
		return
	}
	o := w.add(t, "output")
	w.coding(o, "type", fhir.SystemOutput, code)
	w.set(o, as, value)
}

// taskStatus gives the R4 Task status that fits an e-RS state.
func taskStatus(state string) string {
	switch state {
	case "PROVIDER_RESPONSE_REQUIRED", "NOT_BOOKED", "AWAITING_TRIAGE", "DEFERRED_TO_PROVIDER":
		return "requested"
	case "REFERRER_TO_SUBMIT_FURTHER_INFORMATION":
		return "on-hold"
	case "REFERRER_TO_REVIEW_RESPONSE", "CONVERSATION_ENDED_CLOSED", "ADVICE_CONVERTED":
		return "completed"
	case "CONVERSATION_ENDED_CANCELLED", "CANCELLED_REFERRAL":
		return "cancelled"
	case "REJECTED":
		return "rejected"
	}
	return "in-progress"
}

// communication carries what the provider wrote, word for word. A file that came with it stays in e-RS and
// is named, so that nobody thinks the text is all.
func (w *answer) communication(i int, t text) {
	c := w.resource("communication:"+strconv.Itoa(i), "Communication")
	w.set(c, "status", "completed")
	w.refer(c, "basedOn", "request")
	w.refer(c, "subject", "patient")
	w.set(c, "sent", t.sent)
	if t.words != "" {
		w.set(w.add(c, "payload"), "contentString", t.words)
	}
	for _, f := range t.files {
		a := w.add(w.add(c, "payload"), "contentAttachment")
		w.set(a, "contentType", f.ContentType)
		w.set(a, "url", f.URL)
		w.set(a, "title", f.Title)
	}
}
