package ers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/fhir"
)

// rig is a Destination in front of a simulated e-RS, with the store's part of the work: files, and steps
// that outlive an attempt.
type rig struct {
	*Destination
	t     *testing.T
	ers   *sim.ERS
	files map[string][]byte // by SHA-256
	del   flow.Delivery
	crash func(saves int) (before, after bool) // of the process around the n-th step saved
	saves int
}

var (
	at       = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	errCrash = errors.New("the process died")
)

// newRig makes a rig with the request of testdata/request.json and two photos. edit replaces texts in it.
func newRig(t *testing.T, what string, edit ...string) *rig {
	t.Helper()
	ers, err := sim.StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ers.Close() })
	r := &rig{t: t, ers: ers, files: map[string][]byte{}}
	r.Destination = &Destination{Client: Client{Base: ers.Base(), ODS: "Y06601", BusinessFunction: "REFERRING_CLINICIAN",
		Token: func(context.Context, string) (string, error) { return "t", nil }},
		OpenBody: inline, OpenPart: r.part, Specialty: "DERMATOLOGY", Now: func() time.Time { return at }}
	one, two := r.photo("image/jpeg", "overview"), r.photo("image/jpeg", "dermoscopic")
	raw, err := os.ReadFile("testdata/request.json")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.NewReplacer("PHOTO1", one.SHA256, "PHOTO2", two.SHA256).Replace(string(raw))
	if what == AdviceRequest {
		body = strings.Replace(body, `"code": "referral"`, `"code": "request"`, 1)
	}
	for i := 0; i < len(edit); i += 2 {
		if !strings.Contains(body, edit[i]) {
			t.Fatalf("%q is not in the request", edit[i])
		}
		body = strings.Replace(body, edit[i], edit[i+1], 1)
	}
	r.del = flow.Delivery{ID: flow.NewID(1, "d"), Case: flow.NewID(1, "c"), What: what, Key: "key-1", Created: at,
		Body: flow.BodyRef{Inline: []byte(body), Size: int64(len(body))}, Parts: []flow.BodyRef{one, two}}
	return r
}

func inline(_ context.Context, r flow.BodyRef) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(r.Inline)), nil
}

func (r *rig) part(_ context.Context, ref flow.BodyRef) (io.ReadCloser, error) {
	b, ok := r.files[ref.SHA256]
	if !ok {
		return nil, errors.New("no such file")
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// photo keeps a file and gives its reference.
func (r *rig) photo(mediaType, content string) flow.BodyRef {
	sum := sha256.Sum256([]byte(content))
	sha := hex.EncodeToString(sum[:])
	r.files[sha] = []byte(content)
	return flow.BodyRef{Blob: "case/" + sha, SHA256: sha, Size: int64(len(content)), Type: mediaType}
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
		r.del.Steps = append(r.del.Steps, s)
		if after {
			return errCrash
		}
		return nil
	})
}

func (r *rig) deliver() flow.Outcome {
	r.t.Helper()
	o, err := r.attempt()
	if err != nil {
		r.t.Fatal(err)
	}
	return o
}

func (r *rig) want(result flow.Result, where string) flow.Outcome {
	r.t.Helper()
	o := r.deliver()
	if o.Result != result || (o.Cause == nil) != (where == "") || o.Cause != nil && o.Cause.Where != where {
		r.t.Fatalf("%s, %v, want %s at %q", o.Result, o.Cause, result, where)
	}
	return o
}

// calls gives the names of the calls that e-RS got, in order.
func (r *rig) calls() string {
	var names []string
	for _, c := range r.ers.Received() {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// onlyReferral gives the referral that must be the only one.
func (r *rig) onlyReferral() sim.Request {
	r.t.Helper()
	all := r.ers.Requests("r")
	if len(all) != 1 {
		r.t.Fatalf("%d referrals: %v", len(all), all)
	}
	q, _ := r.ers.Request("r", all[0])
	return q
}

func names(files []sim.Upload) string {
	var out []string
	for _, f := range files {
		out = append(out, f.Name)
	}
	return strings.Join(out, " ")
}

// bundleOf gives the request as a tree.
func (r *rig) bundleOf() *fhir.Bundle {
	r.t.Helper()
	root, issues := fhir.Read(r.del.Body.Inline, fhir.ReadOptions{NoJudge: true})
	if issues.Worst() != nil {
		r.t.Fatal(issues)
	}
	return &fhir.Bundle{Root: root}
}

// serving gives a Poller before a server that answers everything with one of NHS England's examples.
func serving(t *testing.T, name string) (*httptest.Server, *Poller) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(b) }))
	return s, &Poller{Client: Client{Base: s.URL, Token: func(context.Context, string) (string, error) { return "t", nil }}}
}
