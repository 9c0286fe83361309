package ers

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// taken is a request of a worklist as it was read: STU3, and what came with it.
type taken struct {
	kind         string // kindAdvice, kindReferral
	request      ersRequest
	talk         conversation // of advice
	files        []brought
	service      string // that it was found by
	serviceName  string
	organisation string // ODS code of the provider
	specialty    coding
	due          time.Time // by when the provider is to have reviewed it
	addition     bool      // only what is new of a request that was brought before
}

// id names the message. A request is found once; what was added to it comes once a version and set of files.
func (t taken) id() string {
	if !t.addition {
		return "ers:" + t.request.ID + ":" + t.kind + ":found"
	}
	parts := []string{"ers", t.request.ID, t.kind}
	for _, f := range t.files {
		parts = append(parts, f.id)
	}
	return "ers:" + t.request.ID + ":" + t.kind + ":added:" + flow.NewID(0, parts...).String()
}

// extension gives an extension of the request by the end of its name.
func (r ersRequest) extension(name string) extension { return find(r.Extension, definition+name) }

// contained gives a contained resource by its type into v; false when there is none.
func (r ersRequest) contained(kind string, v any) bool {
	for _, raw := range r.Contained {
		if is, err := typeOf(raw); err == nil && is == kind {
			return json.Unmarshal(raw, v) == nil
		}
	}
	return false
}

// related gives the UBRNs of further referrals of the pathway.
func (r ersRequest) related() []string {
	var out []string
	for _, ref := range r.Supporting {
		if ubrn, ok := strings.CutPrefix(ref.Reference, "ReferralRequest/"); ok && isUBRN(ubrn) && ubrn != r.ID {
			out = append(out, ubrn)
		}
	}
	return out
}

// asked is who asked: for advice the requester that e-RS names. A referral names none; who attached its letter is the
// nearest that it shows.
func (t taken) asked() (organisation, person string) {
	type role struct {
		ID           string    `json:"id"`
		Practitioner reference `json:"practitioner"`
		Organization reference `json:"organization"`
	}
	if agent := find(t.request.Requester.Agent.Extension, definition+"Extension-PractitionerRole-Reference-1").Reference; agent != nil {
		for _, raw := range t.request.Contained {
			var r role
			if json.Unmarshal(raw, &r) == nil && "#"+r.ID == agent.Reference {
				return r.Organization.value(), r.Practitioner.value()
			}
		}
	}
	for _, raw := range t.request.Contained {
		var d documentReference
		if json.Unmarshal(raw, &d) != nil || d.Type.code("eRS-AttachmentType-1") != "REFERRER" || len(d.Content) == 0 {
			continue
		}
		by := d.Content[0].Attachment.Extension
		for _, name := range []string{"Extension-eRS-AttachedOnBehalfOf-1", "Extension-eRS-AttachedBy-1"} {
			person = cmp.Or(person, find(by, definition+name).Reference.value())
		}
		return find(by, definition+"Extension-eRS-AttachedByOrganisation-1").Reference.value(), person
	}
	return "", ""
}

func (r *reference) value() string {
	if r == nil || r.Identifier == nil {
		return ""
	}
	return r.Identifier.Value
}

// bundle writes the request as a canonical R4 message Bundle, or only what was added to it. Its files stream when it is
// written.
func (t taken) bundle(source string, open func(flow.BodyRef) (io.ReadCloser, error)) (*fhir.Bundle, error) {
	b, err := fhir.NewBundle(fhir.NewTree(), "message")
	if err != nil {
		return nil, err
	}
	w := &finding{scribe{bundle: b, about: t.id()}, t}
	w.identifier(b.Root, "urn:dermgate:source:"+source, t.id())
	w.set(b.Root, "timestamp", t.request.extension("Extension-eRS-ClinicalInfoFirstSubmitted-1").DateTime)
	w.header(source)
	w.order()
	w.parties()
	w.task()
	for _, f := range t.files {
		if f.why == "" && !f.waits {
			w.document(f, open)
		}
	}
	return b, w.err
}

// finding writes the resources of a request that was found.
type finding struct {
	scribe
	taken
}

func (w *finding) header(source string) {
	h := w.messageHeader("servicerequest-request", source)
	reason := "new"
	if w.addition {
		reason = "update"
	}
	w.coding(h, "reason", fhir.SystemMessageReason, reason)
	w.refer(h, "focus", "request")
}

// order writes the ServiceRequest. The e-RS priority travels beside the FHIR one, which has no word for it.
func (w *finding) order() {
	r := w.resource("request", "ServiceRequest")
	for _, x := range [][2]string{{"ers-priority", w.request.priority()},
		{"conversion-authorisation", w.request.extension("Extension-eRS-ProviderConversionAuthorisation-1").Coding.code()}} {
		if x[1] != "" {
			e := w.add(r, "extension")
			w.set(e, "url", fhir.ExtensionBase+x[0])
			w.set(e, "valueCode", x[1])
		}
	}
	w.identifier(r, fhir.SystemUBRN, w.request.ID)
	w.identifier(r, fhir.SystemERSRequest, w.request.requestID())
	category := "referral"
	if w.kind == kindAdvice {
		category = "request"
	}
	w.set(r, "status", "active")
	w.set(r, "intent", "order")
	w.coding(r, "category", fhir.SystemRequestCategory, category)
	w.set(r, "priority", map[string]string{"ROUTINE": "routine", "URGENT": "urgent", "TWO_WEEK_WAIT": "asap"}[w.request.priority()])
	w.refer(r, "subject", "patient")
	if w.addition {
		return
	}
	w.set(r, "authoredOn", cmp.Or(w.request.extension("Extension-eRS-eReferralPathwayStart-1").start(), w.request.extension("Extension-eRS-ClinicalInfoFirstSubmitted-1").DateTime))
	if org, person := w.asked(); org != "" || person != "" {
		w.refer(r, "requester", "requester")
	}
	if w.specialty.Code != "" {
		c := w.add(r, "performerType")
		coded := w.add(c, "coding")
		w.set(coded, "system", codeSystem+"SPECIALTY")
		w.set(coded, "code", w.specialty.Code)
		w.set(coded, "display", w.specialty.Display)
	}
	w.refer(r, "performer", "service")
	for _, f := range w.files {
		if f.why == "" && !f.waits {
			w.refer(r, "supportingInfo", f.id)
		}
	}
	w.words(r)
}

// start is when the clock of a pathway began.
func (e extension) start() string { return cmp.Or(e.DateTime, e.Instant) }

// words writes what the requester asked, and what of the request is not here.
func (w *finding) words(r fhir.Element) {
	talk, _, _ := w.talk.sort() // was read before
	for _, c := range talk {
		if c.by() == "RESPONDER" {
			continue
		}
		for _, note := range c.Note {
			n := w.add(r, "note")
			w.set(n, "time", c.Sent)
			w.set(n, "text", note.Text)
		}
	}
	for _, f := range w.files {
		if f.why != "" {
			w.set(w.add(r, "note"), "text", "From the gateway, not the referrer: "+f.why+".")
		}
	}
}

// parties writes who is concerned. Of the patient e-RS shows the NHS number and nothing else.
func (w *finding) parties() {
	w.identifier(w.resource("patient", "Patient"), fhir.SystemNHSNumber, w.request.Subject.value())
	if w.addition {
		return
	}
	if org, person := w.asked(); org != "" || person != "" {
		role := w.resource("requester", "PractitionerRole")
		if person != "" {
			w.refer(role, "practitioner", "person")
			w.identifier(w.resource("person", "Practitioner"), fhir.SystemSDSUser, person)
		}
		if org != "" {
			w.refer(role, "organization", "practice")
			w.identifier(w.resource("practice", "Organization"), fhir.SystemODSOrganisation, org)
		}
	}
	s := w.resource("service", "HealthcareService")
	w.identifier(s, fhir.SystemERSService, w.service)
	w.set(s, "name", w.serviceName)
	if w.organisation != "" {
		w.refer(s, "providedBy", "provider")
		w.identifier(w.resource("provider", "Organization"), fhir.SystemODSOrganisation, w.organisation)
	}
}

// task says where e-RS has the request, by when it is to be reviewed, and which files a person has to ask for.
func (w *finding) task() {
	t := w.resource("task", "Task")
	state, system := w.request.state(), fhir.SystemReferralState
	if w.kind == kindAdvice {
		system = fhir.SystemAGStatus
	}
	w.set(t, "status", taskStatus(state))
	w.coding(t, "businessStatus", system, state)
	w.set(t, "intent", "order")
	w.refer(t, "focus", "request")
	w.refer(t, "for", "patient")
	if !w.due.IsZero() {
		w.set(w.add(w.add(t, "restriction"), "period"), "end", w.due.Format(time.RFC3339))
	}
	for _, f := range w.files {
		if f.why != "" {
			in := w.add(t, "input")
			w.coding(in, "type", fhir.SystemInput, "unavailable-file")
			w.set(in, "valueString", f.why)
		}
	}
	if reason := w.request.reason(); reason != "" {
		out := w.add(t, "output")
		w.coding(out, "type", fhir.SystemOutput, "outcome")
		w.set(out, "valueCode", reason)
	}
}

// document writes a file. A photo becomes a Media when it is taken in: by what it is, not by what it is called.
func (w *finding) document(f brought, open func(flow.BodyRef) (io.ReadCloser, error)) {
	d := w.resource(f.id, "DocumentReference")
	w.identifier(d, definition+"eRS-DocumentReference-1", f.id)
	w.set(d, "status", "current")
	if f.kind != "" {
		w.coding(d, "type", codeSystem+"eRS-AttachmentType-1", f.kind)
	}
	w.refer(d, "subject", "patient")
	w.set(d, "description", f.description)
	w.refer(w.add(d, "context"), "related", "request")
	a := w.add(w.add(d, "content"), "attachment")
	w.set(a, "contentType", f.ref.Type)
	w.set(a, "title", f.title)
	w.set(a, "creation", f.created)
	if w.err == nil {
		w.err = a.SetData("data", fhir.Data{Size: f.ref.Size, Open: func() (io.ReadCloser, error) { return open(f.ref) }})
	}
}

// known tells files that there is no need to ask for again: they came, or never will.
func known(files []brought) (ids []string) {
	for _, f := range files {
		if !f.waits && strings.HasPrefix(f.id, "Binary/") {
			ids = append(ids, f.id)
		}
	}
	return ids
}

// waiting tells whether a file may come yet.
func waiting(files []brought) bool {
	return slices.ContainsFunc(files, func(f brought) bool { return f.waits })
}

// garbled is a request whose parts cannot be read: left out, they would be lost.
func garbled(name string, err error) *stop {
	return stopped(flow.Retry, issue.New(issue.Structure, name, "the answer cannot be read").Because(err))
}
