package mesh

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/itk3"
)

const (
	ours, theirs = "RXX01OT001", "Y06601OT001"
	key          = "5f0c1d2e-0000-5000-8000-000000000001"
)

var (
	at       = time.Date(2026, 11, 3, 15, 0, 0, 0, time.UTC)
	errCrash = errors.New("the process died")
	letter   = []byte("%PDF-1.4\nthe advice\n%%EOF\n")
)

// answered is a request with its answer, as they are composed.
const answered = `{"resourceType":"Bundle","type":"message","entry":[
{"fullUrl":"urn:uuid:p","resource":{"resourceType":"Patient","identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990001014"}],
 "name":[{"family":"Testcase","given":["Rosalind"],"prefix":["Ms"]}],"gender":"female","birthDate":"1968-04-12",
 "generalPractitioner":[{"reference":"urn:uuid:o"}]}},
{"fullUrl":"urn:uuid:o","resource":{"resourceType":"Organization","identifier":[{"system":"https://fhir.nhs.uk/Id/ods-organization-code","value":"Y06601"}],"name":"LAMBETH ROAD SURGERY"}},
{"fullUrl":"urn:uuid:d","resource":{"resourceType":"Practitioner","identifier":[{"system":"https://fhir.hl7.org.uk/Id/gmc-number","value":"7654321"}],"name":[{"family":"Hale","given":["Imogen"]}]}},
{"fullUrl":"urn:uuid:c","resource":{"resourceType":"Communication","status":"completed","sender":{"reference":"urn:uuid:d"},"payload":[{"contentString":"Benign naevus."}]}}]}`

// document gives the bytes of a Send Document message; more makes its letter so much longer.
func document(t *testing.T, more int) []byte {
	t.Helper()
	root, issues := fhir.Read([]byte(answered), fhir.ReadOptions{NoJudge: true})
	if issues.Worst() != nil {
		t.Fatal(issues)
	}
	pdf := append(bytes.Clone(letter), bytes.Repeat([]byte("%comment\n"), more)...)
	m, err := itk3.Send(&fhir.Bundle{Root: root}, itk3.Out{ID: key, At: at, Mailbox: ours, Workflow: itk3.ConsultReport, Title: "Dermatology advice", Version: 1,
		Sender: itk3.Party{ODS: "RXX01", Name: "St Elsewhere", Phone: "02079460100"},
		Letter: fhir.Data{Size: int64(len(pdf)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(pdf)), nil }}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rig is both adapters before a MESH with a practice, and the store's part of the work.
type rig struct {
	*Destination
	t        *testing.T
	mesh     *sim.MESH
	practice *sim.Practice
	source   *Source
	del      flow.Delivery
	crash    func(saves int) (before, after bool)
	saves    int
}

func newRig(t *testing.T, body []byte) *rig {
	t.Helper()
	m, err := sim.StartMESH("", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	r := &rig{t: t, mesh: m, practice: &sim.Practice{ODS: "Y06601"}}
	m.Mailbox(ours, "our-password", "RXX01", nil)
	m.Mailbox(theirs, "their-password", "Y06601", r.practice)
	m.Register("9990001014", "19680412", "Testcase", theirs)
	client := Client{Base: m.URL, Mailbox: ours, Password: secret("our-password"), SharedKey: secret("sim-shared-key")}
	r.Destination = &Destination{Client: client, Workflow: itk3.ConsultReport, OpenBody: inline}
	r.source = &Source{Client: client, Name: "mesh-in", Workflows: []string{itk3.ConsultReport, itk3.AckOf(itk3.ConsultReport)}}
	r.del = flow.Delivery{ID: flow.NewID(1, "d"), Case: flow.NewID(1, "c"), What: "answered", Key: key, Created: at, Body: flow.BodyRef{Inline: body, Size: int64(len(body))}}
	return r
}

func secret(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func inline(_ context.Context, r flow.BodyRef) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(r.Inline)), nil
}

// attempt makes one attempt, as the dispatcher would: the error is that of a process that died.
func (r *rig) attempt() (flow.Outcome, error) {
	r.t.Helper()
	r.del.Attempt++
	return r.Deliver(context.Background(), r.del, func(s flow.Step) error {
		r.saves++
		before, after := false, false
		if r.crash != nil {
			before, after = r.crash(r.saves)
		}
		if before {
			return errCrash
		}
		r.del.Steps = r.del.WithStep(s)
		if after {
			return errCrash
		}
		return nil
	})
}

func (r *rig) want(result flow.Result, where string) flow.Outcome {
	r.t.Helper()
	o, err := r.attempt()
	if err != nil {
		r.t.Fatal(err)
	}
	if o.Result != result || (o.Cause == nil) != (where == "") || o.Cause != nil && o.Cause.Where != where {
		r.t.Fatalf("%s, %v, want %s at %q", o.Result, o.Cause, result, where)
	}
	if o.Cause != nil {
		noPatient(r.t, o.Cause.Error())
	}
	return o
}

// toTheEnd attempts until the message is delivered.
func (r *rig) toTheEnd() {
	r.t.Helper()
	for range 20 {
		o, err := r.attempt()
		switch {
		case errors.Is(err, errCrash):
		case err != nil:
			r.t.Fatal(err)
		case o.Result == flow.Delivered:
			return
		case o.Result != flow.Retry:
			r.t.Fatalf("%s: %v", o.Result, o.Cause)
		}
	}
	r.t.Fatal("no end")
}

// calls gives the names of the calls that MESH got, in order.
func (r *rig) calls() string {
	var names []string
	for _, c := range r.mesh.Received() {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// noPatient finds what may not be told of a message.
func noPatient(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{"9990001014", "Testcase", "TESTCASE", "19680412", "our-password", "sim-shared-key"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s: shows %s", text, secret)
		}
	}
}
