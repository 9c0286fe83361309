// Package ers speaks to the NHS e-Referral Service. The Destination sends an Advice & Guidance request
// (A020 for each file, then A044), a referral to triage (A011, letter by A020 and A012, A016) or the photos
// of a referral that is already there (A020 and A012), and relays what a signed-in person decided about a request (A026,
// A028, A036). The Poller reads what has become of them (A024 and
// A025, A005), since e-RS pushes nothing.
//
// Failure semantics. e-RS has no idempotency key on creates, and what a time-out hides cannot be found by
// reading. So each create is written down before it is made; one that was cut off is Unknown and never
// made again by machine. A012, A016, A026, A028 and A036 are guarded by the version they are based on: they are made
// again after reading it anew. A crash between any two calls resumes after the last one that was kept.
//
// There is no code here that creates a referral out of advice (A021, A027) or changes what a referrer
// chose (A031, A032): those are acts of people.
package ers

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/letter"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/issue"
)

// What a delivery asks for, by its What.
const (
	AdviceRequest = "advice-request"
	Referral      = "referral"
	Photos        = "photos" // of a referral that exists: its UBRN is the delivery's Note or in the Bundle
)

// staleTries is how often a version is read anew within one attempt before the next one has to try.
const staleTries = 3

// Facts that an outcome tells of a request.
const (
	FactUBRN    = "ubrn"
	FactID      = "ers-request-id"
	FactVersion = "version"
	FactStatus  = "status"
	FactPhotos  = "photos-pending" // files of a referral that a delivery of Photos must bring: photos never delay A016
)

// Destination sends requests to e-RS. A delivery's Body is the canonical R4 message Bundle, its Parts the
// photos and documents in order.
type Destination struct {
	Client
	OpenBody   func(context.Context, flow.BodyRef) (io.ReadCloser, error) // the Bundle
	OpenPart   func(context.Context, flow.BodyRef) (io.ReadCloser, error) // a photo or document
	Service    string                                                     // ers-service id when the request names none
	Specialty  string                                                     // e-RS SPECIALTY code of the service search, "DERMATOLOGY"
	ClinicType string                                                     // eRS-ClinicType-1 of the service search; may be empty
	Reference  *Reference                                                 // why a referral may be cancelled; nil: e-RS alone judges that
	Now        func() time.Time                                           // nil: time.Now
	// User holds the sign-ins of users, by the case that they are for; nil: Client.Token is that of a user.
	User interface {
		Token(ctx context.Context, work, refused string) (string, error) // empty: nobody has signed in
		Forget(work string)
	}

	elsewhere elsewheres
}

// attempt is one delivery being worked on.
type attempt struct {
	*Destination
	journal
	ctx    context.Context
	del    flow.Delivery
	bundle *fhir.Bundle
	order  order
	parts  []part
}

// Deliver makes the calls that the delivery still needs. It gives an error only when a step could not be
// saved.
func (d *Destination) Deliver(ctx context.Context, del flow.Delivery, save func(flow.Step) error) (flow.Outcome, error) {
	a := &attempt{Destination: d.asUser(del), ctx: ctx, del: del, journal: journal{steps: del.Steps, save: save, now: d.now}}
	told, err := a.run()
	o := flow.Outcome{Result: flow.Delivered}
	if s := new(stop); errors.As(err, &s) {
		// An error beside the stop is of a note that says "not created": without it the next attempt is
		// unknown, which is safe.
		o, told = s.Outcome, a.created()
	} else if errors.Is(err, errStale) { // no read answers 409 by its documentation
		o = locked("e-RS").Outcome
	} else if err != nil {
		return flow.Outcome{}, err
	}
	o.Facts = maps.Clone(told)
	delete(o.Facts, "state")
	d.forgetful(del, o)
	for _, ref := range []flow.Ref{{System: fhir.SystemUBRN, Value: o.Facts[FactUBRN]}, {System: fhir.SystemERSRequest, Value: o.Facts[FactID]}} {
		if ref.Value != "" {
			o.Refs = append(o.Refs, ref)
		}
	}
	return o, nil
}

// created gives what is known of a request that was created before the attempt stopped.
func (j *journal) created() map[string]string {
	for _, step := range []string{"A011", "A044"} {
		if state, data := j.state(step); state == done {
			return data
		}
	}
	return nil
}

func (a *attempt) run() (map[string]string, error) {
	if state, data := a.state(elsewhere); state == done {
		return data, nil
	}
	if a.del.Relays() {
		return a.relay()
	}
	if err := a.prepare(); err != nil {
		return nil, err
	}
	if _, err := a.token(a.ctx, call{name: "sign-in"}, ""); err != nil { // before anything is begun
		return nil, err
	}
	switch a.del.What {
	case AdviceRequest:
		return a.advice()
	case Referral:
		return a.refer()
	case Photos:
		return a.photos()
	}
	return nil, stopped(flow.Refused, issue.New(issue.UnsupportedEvent, "", "e-RS has no call for this: a signed-in person does it in e-RS"))
}

func (a *attempt) prepare() error {
	body, err := slurp(a.ctx, a.OpenBody, a.del.Body)
	if err != nil {
		return ourTrouble("the request cannot be read from the store", err)
	}
	root, issues := fhir.Read(body, fhir.ReadOptions{NoJudge: true}) // our own writing, judged when it was made
	if worst := issues.Worst(); worst != nil {
		return stopped(flow.Refused, issue.New(issue.Internal, worst.Where, "the request that was kept is no FHIR Bundle").Because(worst))
	}
	a.bundle = &fhir.Bundle{Root: root}
	a.parts = parts(a.bundle, a.del.Parts)
	a.order, err = readOrder(a.bundle, order{Service: a.Service, Specialty: a.Specialty, ClinicType: a.ClinicType})
	if err != nil {
		return err
	}
	if a.BusinessFunction != "REFERRING_CLINICIAN_ADMIN" {
		a.order.Clinician = "" // forbidden for a clinician, mandatory for their admin (A011, A044)
	} else if a.order.Clinician == "" {
		return missing("ServiceRequest.requester", "an admin needs the SDS user id of the referring clinician")
	}
	return nil
}

// advice sends an A&G request. Nothing can be attached to it later, so a file that e-RS would not take
// stops it before anything is created.
func (a *attempt) advice() (map[string]string, error) {
	var more bool // than fits: the letter has all of it
	a.order.Text, more = letter.Question(a.bundle, maxText)
	switch {
	case a.order.Conversion == "":
		return nil, missing("ServiceRequest.extension(conversion-authorisation)", "the requester must say whether the provider may convert advice into a referral: there is no default")
	case a.order.Text == "":
		return nil, missing("ServiceRequest.note", "no question")
	}
	for i, p := range a.parts {
		if bad := p.trouble(i+1, len(a.parts)); bad != nil {
			return nil, stopped(flow.Refused, bad)
		}
	}
	var files []file
	if more {
		f, err := a.uploadLetter("")
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	photos, err := a.uploadAll("", a.parts)
	if err != nil {
		return nil, err
	}
	files = append(files, photos...)
	return a.create("A044", func() (map[string]string, error) { return a.createAdvice(files) })
}

func (a *attempt) createAdvice(files []file) (map[string]string, error) {
	r, err := a.post("A044", "/STU3/CommunicationRequest/$ers.createAdviceAndGuidance", adviceBody(a.Base, a.order, files), "")
	if err != nil {
		return nil, err
	}
	var created struct {
		Parameter []struct {
			Name     string     `json:"name"`
			Resource ersRequest `json:"resource"`
		} `json:"parameter"`
	}
	if json.Unmarshal(r.body, &created) == nil {
		for _, p := range created.Parameter {
			if p.Name == "createdCommunicationRequest" && isUBRN(p.Resource.ID) {
				return facts(p.Resource), nil
			}
		}
	}
	return nil, unreadable("A044")
}

// refer sends a referral: a shortlist, its letter, and off to triage. Its photos follow on their own
// (FactPhotos), so that nothing about them delays a suspected cancer.
func (a *attempt) refer() (map[string]string, error) {
	created, err := a.create("A011", a.createReferral)
	if err != nil {
		return nil, err
	}
	ubrn := created[FactUBRN]
	if err := a.attachLetter(ubrn); err != nil {
		return nil, err
	}
	sent, err := a.toTriage(ubrn)
	if err != nil {
		return nil, err
	}
	if n := len(a.parts); n > 0 {
		sent[FactPhotos] = strconv.Itoa(n)
	}
	return sent, nil
}

func (a *attempt) createReferral() (map[string]string, error) {
	r, err := a.post("A011", "/STU3/ReferralRequest/$ers.createReferral", referralBody(a.Base, a.order), "")
	if err != nil {
		return nil, err
	}
	var created ersRequest
	if json.Unmarshal(r.body, &created) != nil || !isUBRN(created.ID) {
		return nil, unreadable("A011")
	}
	return facts(created), nil
}

// uploadLetter renders and uploads the referral letter; ubrn is empty for an A&G request.
func (a *attempt) uploadLetter(ubrn string) (file, error) {
	url, err := a.upload(ubrn, letter.Name, letter.MediaType, func() ([]byte, error) {
		b, err := letter.PDF(a.bundle)
		if err == nil && len(b) > maxFile {
			err = stopped(flow.Refused, issue.New(issue.TooLong, "ServiceRequest", "the letter of the request is larger than the 5,242,880 bytes that e-RS takes"))
		}
		return b, err
	})
	return file{URL: url, Description: "Referral letter", Indexed: a.indexed()}, err
}

// attachLetter makes the referral letter the first file of a referral.
func (a *attempt) attachLetter(ubrn string) error {
	f, err := a.uploadLetter(ubrn)
	if err != nil {
		return err
	}
	return a.attach("A012", ubrn, []file{f})
}

// toTriage sends the referral (A016), once: a state beyond NOT_BOOKED shows that an earlier attempt got
// through although its answer did not.
func (a *attempt) toTriage(ubrn string) (map[string]string, error) {
	if state, data := a.state("A016"); state == done {
		return data, nil
	}
	for n := range staleTries {
		r, err := a.referral(a.ctx, ubrn)
		if err != nil {
			return nil, err
		}
		if r.state() != "NOT_BOOKED" {
			f := facts(r)
			return f, a.keep("A016", done, f)
		}
		sent, err := a.post("A016", "/STU3/Appointment", triageBody(ubrn, r.Meta.VersionID, a.order), "")
		if errors.Is(err, errStale) || n == 0 && slices.Contains(codesOf(sent.body), "INVALID_REQUEST_STATE") { // sent meanwhile?
			continue
		}
		if err != nil {
			return nil, err
		}
		var taken appointment
		if json.Unmarshal(sent.body, &taken) != nil || taken.ResourceType != "Appointment" {
			return nil, foreign("A016")
		}
		f := facts(r)
		f[FactStatus], f[FactVersion] = "AWAITING_TRIAGE", taken.version()
		return f, a.keep("A016", done, f)
	}
	return nil, locked("A016")
}

// version gives the version that the referral has after A016, empty when the answer does not say.
func (p appointment) version() string {
	if len(p.IncomingReferral) == 0 {
		return ""
	}
	_, version, _ := strings.Cut(p.IncomingReferral[0].Reference, "/_history/")
	return version
}

// photos attaches the parts to a referral that exists, those that an earlier delivery has not attached
// already. Those that e-RS would not take are left out and said so once the others are there.
func (a *attempt) photos() (map[string]string, error) {
	ref := strings.TrimSpace(a.del.Note)
	if ref == "" {
		ref = ubrn(a.bundle)
	}
	if !isUBRN(ref) {
		return nil, missing("ServiceRequest.identifier", "no UBRN: the referral is not in e-RS yet")
	}
	if ofAdvice(a.bundle) {
		return nil, stopped(flow.Refused, issue.New(issue.UnsupportedEvent, "Media", "e-RS has no call to add photos to an advice request: a signed-in person does it in e-RS"))
	}
	take, bad := sift(a.parts)
	take, err := a.unattached(ref, take)
	if err != nil {
		return nil, err
	}
	files, err := a.uploadAll(ref, take)
	if err == nil && len(files) > 0 {
		err = a.attach("A012:photos", ref, files)
	}
	if err != nil {
		return nil, err
	}
	if bad != nil {
		return nil, stopped(flow.Refused, issue.New(bad.Kind, bad.Where, bad.Text+"; the referral and the other files are in e-RS"))
	}
	return map[string]string{FactUBRN: ref, FactPhotos: "0"}, nil
}

func ofAdvice(b *fhir.Bundle) bool {
	for c := range b.First("ServiceRequest").Children("category") {
		for x := range c.Children("coding") {
			if x.Child("system").Text() == fhir.SystemRequestCategory && x.Child("code").Text() == "request" {
				return true
			}
		}
	}
	return false
}

// facts gives what an outcome tells of a request as e-RS shows it.
func facts(r ersRequest) map[string]string {
	return map[string]string{FactUBRN: r.ID, FactID: r.requestID(), FactVersion: r.Meta.VersionID, FactStatus: r.state()}
}

// unreadable is a create that succeeded without saying what it created.
func unreadable(name string) *stop {
	return stopped(flow.Unknown, issue.New(issue.Structure, name, "created, but the answer does not say under which UBRN"))
}

func locked(name string) *stop {
	return stopped(flow.Retry, issue.New(issue.Conflict, name, "the request keeps changing in e-RS"))
}

func ourTrouble(text string, cause error) *stop {
	return stopped(flow.Retry, issue.New(issue.Unavailable, "store", text).Because(cause))
}

// indexed is the date of the attachments: that of the delivery, so that a repeat says the same.
func (a *attempt) indexed() string { return a.del.Created.UTC().Format("2006-01-02T15:04:05.000Z") }

func (a *attempt) post(name, path string, body any, ifMatch string) (reply, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return reply{}, stopped(flow.Refused, issue.New(issue.Internal, name, "the body cannot be written").Because(err))
	}
	k := call{name: name, method: http.MethodPost, path: path, body: raw, create: name == "A011" || name == "A044"}
	if ifMatch != "" {
		k.header = map[string]string{"If-Match": `W/"` + ifMatch + `"`}
	}
	return a.do(a.ctx, k)
}

func slurp(ctx context.Context, open func(context.Context, flow.BodyRef) (io.ReadCloser, error), ref flow.BodyRef) ([]byte, error) {
	r, err := open(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (d *Destination) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}
