package ers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/letter"
)

// toTheEnd attempts a delivery until it is delivered, as dispatcher and people would: a retry is made, an
// unknown create is looked up in e-RS by a person. It fails the test when the end does not come.
func (r *rig) toTheEnd() flow.Outcome {
	r.t.Helper()
	for range 20 {
		o, err := r.attempt()
		switch {
		case errors.Is(err, errCrash):
			continue
		case err != nil:
			r.t.Fatal(err)
		}
		switch o.Result {
		case flow.Delivered:
			return o
		case flow.Unknown:
			r.lookUp()
		case flow.Retry:
		default:
			r.t.Fatalf("%s: %v", o.Result, o.Cause)
		}
	}
	r.t.Fatal("no end")
	return flow.Outcome{}
}

// lookUp is the person: they find the request in e-RS or find that there is none. An upload cannot be
// found; they say that it is not there, which costs at most a file that nothing refers to.
func (r *rig) lookUp() {
	r.t.Helper()
	kind := "r"
	if r.del.What == AdviceRequest {
		kind = "a"
	}
	ubrn := ""
	j := journal{steps: r.del.Steps}
	a011, _ := j.state("A011")
	a044, _ := j.state("A044")
	if all := r.ers.Requests(kind); len(all) > 0 && (a011 == begun || a044 == begun) {
		ubrn = all[0]
	}
	step, ok := Resolved(r.del, ubrn, at)
	if !ok {
		r.t.Fatalf("nothing to resolve in %+v", r.del.Steps)
	}
	r.del.Steps = append(r.del.Steps, step)
}

// check proves that the end is the right one: one request, with its files, each once.
func (r *rig) check(name string) {
	r.t.Helper()
	switch r.del.What {
	case AdviceRequest:
		all := r.ers.Requests("a")
		if len(all) != 1 {
			r.t.Fatalf("%s: %d advice requests", name, len(all))
		}
		if q, _ := r.ers.Request("a", all[0]); names(q.Files) != "L1-overview-1.jpg L1-dermoscopic-1.jpg" {
			r.t.Errorf("%s: files %s", name, names(q.Files))
		}
	case Referral:
		if q := r.onlyReferral(); q.State != "AWAITING_TRIAGE" || names(q.Files) != letter.Name {
			r.t.Errorf("%s: %s, files %s", name, q.State, names(q.Files))
		}
	case Photos:
		if q := r.onlyReferral(); names(q.Files) != letter.Name+" L1-overview-1.jpg L1-dermoscopic-1.jpg" {
			r.t.Errorf("%s: files %s", name, names(q.Files))
		}
	}
}

func start(t *testing.T, what string) *rig {
	if what == Photos {
		return photosAfter(t)
	}
	return newRig(t, what)
}

func TestACrashBetweenAnyTwoStepsResumes(t *testing.T) {
	for _, what := range []string{AdviceRequest, Referral, Photos} {
		clean := start(t, what)
		before := clean.saves
		clean.toTheEnd()
		for n := before + 1; n <= clean.saves; n++ {
			for _, after := range []bool{false, true} {
				r := start(t, what)
				r.crash = func(saves int) (bool, bool) { return saves == n && !after, saves == n && after }
				r.toTheEnd()
				r.check(what)
			}
		}
	}
}

func TestACrashBetweenACreateAndItsStepIsUnknown(t *testing.T) {
	r := newRig(t, Referral)
	r.crash = func(saves int) (bool, bool) { return saves == 2, false } // the UBRN is lost
	if _, err := r.attempt(); !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	r.want(flow.Unknown, "A011")
	r.want(flow.Unknown, "A011") // replayed without an answer to the question
	if got := r.calls(); got != "A011" {
		t.Errorf("calls: %s", got)
	}
}

// faults are the ways in which one call can go wrong for a while.
var faults = map[string]sim.Fault{
	"lost before it arrived":    {Drop: true},
	"answer lost":               {DropAfter: true},
	"answered too late":         {Delay: 400 * time.Millisecond},
	"429":                       {Status: 429},
	"503":                       {Status: 503},
	"423":                       {Status: 423},
	"500":                       {Status: 500},
	"504":                       {Status: 504},
	"nonsense with status 200":  {Status: 200, Body: "<html>"},
	"the version moved (409)":   {Status: 409},
	"three times lost":          {Drop: true, Times: 3},
	"three answers in a row":    {DropAfter: true, Times: 3},
	"unauthorised for a moment": {Status: 401, Times: 2},
}

func TestAFaultAtAnyCallEndsInOneRequest(t *testing.T) {
	for _, what := range []string{AdviceRequest, Referral, Photos} {
		clean := start(t, what)
		skip := len(clean.ers.Received())
		clean.toTheEnd()
		calls := clean.ers.Received()[skip:]
		for i, call := range calls {
			for name, f := range faults {
				if f.Status == 409 && (call.Name == "A011" || call.Name == "A044" || call.Name == "A020" || call.Name == "A005") {
					continue // not an answer of these calls
				}
				t.Run(what+"/"+call.Name+"/"+name, func(t *testing.T) {
					t.Parallel()
					r := start(t, what)
					r.HTTP = &http.Client{Timeout: 200 * time.Millisecond}
					f.Skip = i
					r.ers.Fail(f)
					r.toTheEnd()
					r.check(name)
				})
			}
		}
	}
}

func TestNoAnswerToACreateIsUnknown(t *testing.T) {
	for _, c := range []struct{ what, call string }{{AdviceRequest, "A020"}, {AdviceRequest, "A044"}, {Referral, "A011"}} {
		for _, f := range []sim.Fault{{DropAfter: true}, {Drop: true}, {Status: 500}, {Status: 502}, {Status: 504},
			{Status: 201, Body: `{"resourceType":"Parameters"}`}} {
			r := newRig(t, c.what)
			f.Call = c.call
			r.ers.Fail(f)
			if o := r.want(flow.Unknown, c.call); o.Result != flow.Unknown {
				t.Errorf("%s %+v: %s", c.call, f, o.Result)
			}
			if got := r.ers.Received(c.call); len(got) != 1 {
				t.Errorf("%s %+v: called %d times", c.call, f, len(got))
			}
		}
	}
}

func TestWhatNeverLeftIsNotUnknown(t *testing.T) {
	r := newRig(t, Referral)
	r.ers.Close()
	r.want(flow.Retry, "A011")
	r.want(flow.Retry, "A011")
}

func TestARefusedCreateMayBeTriedAgain(t *testing.T) {
	r := newRig(t, AdviceRequest)
	r.ers.Fail(sim.Fault{Call: "A044", Status: 422, Code: "INVALID_REQUEST_STATE"})
	r.want(flow.Refused, "A044")
	r.want(flow.Delivered, "") // a person mended what was wrong and replayed it
	if got := r.calls(); got != "A020 A020 A044 A044" {
		t.Errorf("calls: %s", got)
	}
}

func TestAttachingKeepsWhatOthersAttached(t *testing.T) {
	r := photosAfter(t)
	first := r.del
	r.del.Parts = first.Parts[:1]
	r.want(flow.Delivered, "")
	r.del = first
	r.del.Parts, r.del.ID = first.Parts[1:], flow.NewID(1, "later")
	r.ers.Fail(sim.Fault{Call: "A012", Status: 409}) // somebody attached something in between
	r.want(flow.Delivered, "")
	r.check("set")

	// Released again, as all photos of the case: those that are there stay as they are.
	uploads := len(r.ers.Uploads())
	r.del = first
	r.del.ID, r.del.Steps = flow.NewID(1, "again"), nil
	if r.want(flow.Delivered, ""); len(r.ers.Uploads()) != uploads {
		t.Error("uploaded what is attached")
	}
	r.check("again")
}

func TestResolvedAsksOnlyWhatCanBeAnswered(t *testing.T) {
	d := flow.Delivery{Steps: []flow.Step{{Name: "A020:x.jpg", Data: map[string]string{"state": begun}}}}
	if s, ok := Resolved(d, "", at); !ok || s.Name != "A020:x.jpg" || s.Data["state"] != undone {
		t.Errorf("%+v %v", s, ok)
	}
	if _, ok := Resolved(d, "000000070001", at); ok {
		t.Error("an upload has no UBRN")
	}
	d.Steps[0].Name = "A011"
	if _, ok := Resolved(d, "70001", at); ok {
		t.Error("not a UBRN")
	}
	if s, ok := Resolved(d, "000000070001", at); !ok || s.Data["ubrn"] != "000000070001" || s.Data["state"] != done {
		t.Errorf("%+v %v", s, ok)
	}
	d.Steps = append(d.Steps, flow.Step{Name: "A011", Data: map[string]string{"state": undone}})
	if _, ok := Resolved(d, "", at); ok {
		t.Error("nothing is unknown")
	}
}

func TestFilesThatCannotBeReadAreOurTrouble(t *testing.T) {
	broken := errors.New("disk")
	r := newRig(t, AdviceRequest)
	r.OpenPart = func(context.Context, flow.BodyRef) (io.ReadCloser, error) { return nil, broken }
	if o := r.want(flow.Retry, "store"); !errors.Is(o.Cause, broken) || r.calls() != "" {
		t.Errorf("%+v after %s", o, r.calls())
	}
	r.OpenBody = r.OpenPart
	r.want(flow.Retry, "store")
	r = newRig(t, Referral)
	r.del.Body.Inline = []byte("{")
	if o := r.deliver(); o.Result != flow.Refused {
		t.Errorf("%+v", o)
	}
	r = newRig(t, "outcome")
	if o := r.deliver(); o.Result != flow.Refused || !strings.Contains(o.Cause.Text, "signed-in person") {
		t.Errorf("%+v", o)
	}
}
