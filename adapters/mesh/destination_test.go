package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/itk3"
)

func TestWhatIsSent(t *testing.T) {
	body := document(t, 0)
	r := newRig(t, body)
	o := r.want(flow.Delivered, "")
	sent := r.mesh.Messages(theirs)[0]
	if o.Facts[flow.FactMESH] != sent.ID || len(o.Refs) != 1 || o.Refs[0] != (flow.Ref{System: flow.SystemMESH, Value: sent.ID}) {
		t.Errorf("facts %v, refs %v, MESH says %s", o.Facts, o.Refs, sent.ID)
	}
	if !bytes.Equal(sent.Content(), body) {
		t.Error("other bytes arrived")
	}
	if sent.Workflow != itk3.ConsultReport || sent.LocalID != key || sent.Asked != "GPPROVIDER_9990001014_19680412_TESTCASE" || sent.Encoding != "gzip" || sent.ContentType != "application/fhir+xml" {
		t.Errorf("headers: %+v", sent)
	}
	noPatient(t, sent.Subject+sent.FileName)
	filed := r.mesh.Filed(r.practice)
	if len(filed) != 1 || !bytes.Equal(filed[0].Parts[0].Bytes, letter) {
		t.Fatalf("filed: %+v", filed)
	}
}

func TestAPracticesOwnMailboxIsAddressedDirectly(t *testing.T) {
	r := newRig(t, document(t, 0))
	r.del.Note = theirs
	r.want(flow.Delivered, "")
	if got := r.mesh.Messages(theirs)[0].Asked; got != theirs {
		t.Errorf("to %s", got)
	}
}

func TestALargeMessageGoesInChunks(t *testing.T) {
	body := document(t, 2000)
	r := newRig(t, body)
	r.ChunkBytes = 5000
	r.want(flow.Delivered, "")
	sent := r.mesh.Messages(theirs)[0]
	if want := (len(body) + 4999) / 5000; sent.Total != want || len(sent.Chunks) != want || !bytes.Equal(sent.Content(), body) {
		t.Errorf("%d chunks of %d, want %d", len(sent.Chunks), sent.Total, want)
	}
	if len(r.mesh.Filed(r.practice)) != 1 {
		t.Error("not filed")
	}
}

func TestACrashBetweenAnyTwoStepsResumes(t *testing.T) {
	body := document(t, 700)
	start := func() *rig {
		r := newRig(t, body)
		r.ChunkBytes = int64(len(body)/3 + 1)
		return r
	}
	clean := start()
	clean.toTheEnd()
	if clean.saves != 4 {
		t.Fatalf("%d steps, want the begun one and one for each of 3 chunks", clean.saves)
	}
	for n := 1; n <= clean.saves; n++ {
		for _, after := range []bool{false, true} {
			r := start()
			r.crash = func(saves int) (bool, bool) { return saves == n && !after, saves == n && after }
			r.toTheEnd()
			once(t, r, fmt.Sprintf("crash at step %d, after %v", n, after))
		}
	}
}

// once proves that the message is there, whole and once.
func once(t *testing.T, r *rig, name string) {
	t.Helper()
	if filed := r.mesh.Filed(r.practice); len(filed) != 1 {
		t.Errorf("%s: filed %d times", name, len(filed))
	}
	if all := r.mesh.Received("send"); len(all) > 0 {
		taken := 0
		for _, mail := range r.mesh.Messages(theirs) {
			if mail.LocalID == key {
				taken++
			}
		}
		if taken != 1 {
			t.Errorf("%s: MESH has it %d times", name, taken)
		}
	}
}

func TestAFaultAtAnyCallEndsInOneMessage(t *testing.T) {
	body := document(t, 700)
	faults := map[string]sim.Fault{
		"lost before it arrived":   {Drop: true},
		"answer lost":              {DropAfter: true},
		"answered too late":        {Delay: 400 * time.Millisecond},
		"429":                      {Status: 429, RetryAfter: "1"},
		"500":                      {Status: 500},
		"503":                      {Status: 503},
		"403 for a moment":         {Status: 403},
		"nonsense with status 202": {Status: 202, Body: "<html>"},
		"three times lost":         {Drop: true, Times: 3},
		"three answers lost":       {DropAfter: true, Times: 3},
	}
	for call, skip := range map[string]int{"send": 0, "first chunk after": 1, "last chunk": 2} {
		for name, f := range faults {
			if strings.HasPrefix(name, "nonsense") && call != "send" {
				continue // a chunk's answer says nothing
			}
			t.Run(call+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, body)
				r.ChunkBytes = int64(len(body)/3 + 1)
				r.HTTP = &http.Client{Timeout: 200 * time.Millisecond}
				f.Skip = skip
				r.mesh.Fail(f)
				r.toTheEnd()
				once(t, r, call+", "+name)
			})
		}
	}
}

func TestAnAnswerThatWasLostIsLookedFor(t *testing.T) {
	r := newRig(t, document(t, 0))
	r.mesh.Fail(sim.Fault{Call: "send", DropAfter: true})
	r.want(flow.Retry, "mesh")
	r.mesh.Fail(sim.Fault{Call: "track local id", Status: 503})
	r.want(flow.Retry, "mesh") // nothing is sent before MESH has said whether it has it
	r.mesh.Fail(sim.Fault{Call: "track local id", Status: 405})
	r.want(flow.Unknown, "mesh")
	r.want(flow.Delivered, "")
	if got := r.calls(); got != "send, track local id, track local id, track local id" {
		t.Errorf("calls: %s", got)
	}
	once(t, r, "lost answer")
}

func TestWhatMESHRefusesIsParked(t *testing.T) {
	r := newRig(t, document(t, 0))
	r.del.Note = "NOBODY"
	if o := r.want(flow.Refused, "mesh"); !strings.Contains(o.Cause.Text, "417 12") {
		t.Errorf("cause %v", o.Cause)
	}
	r = newRig(t, bytes.Replace(document(t, 0), []byte(`value="9990001014"`), []byte(`value=""`), 1))
	r.want(flow.Refused, "Patient")
	if r.calls() != "" {
		t.Errorf("calls: %s", r.calls())
	}
	r = newRig(t, document(t, 0))
	r.Password = secret("another")
	r.want(flow.Retry, "mesh") // every message alike: nothing is given up for it
}

func TestOurOwnTroubleIsNoRefusal(t *testing.T) {
	r := newRig(t, document(t, 0))
	broken := errors.New("disk")
	r.OpenBody = func(context.Context, flow.BodyRef) (io.ReadCloser, error) { return nil, broken }
	if o := r.want(flow.Retry, "store"); !errors.Is(o.Cause, broken) || r.calls() != "" {
		t.Errorf("%+v after %s", o, r.calls())
	}
	r = newRig(t, document(t, 0))
	r.del.Body.Size++ // as if it had been cut
	r.want(flow.Retry, "store")
	r = newRig(t, document(t, 0))
	r.mesh.Close()
	r.want(flow.Retry, "mesh")
}

func TestAReportOfNonDeliveryNamesTheMessage(t *testing.T) {
	r := newRig(t, document(t, 0))
	r.mesh.Register("9990001014", "19680412", "Elsewhere", theirs) // not this surname
	r.del.Body.Inline = bytes.ReplaceAll(r.del.Body.Inline, []byte("Testcase"), []byte("Unknown1"))
	r.want(flow.Delivered, "") // MESH tells only later
	got := r.collected()
	if len(got) != 1 || got[0].Type != flow.MailReport || got[0].LocalID != key || got[0].Status != "EPL-153" || got[0].Success != "ERROR" {
		t.Errorf("%+v", got)
	}
}
