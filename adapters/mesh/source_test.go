package mesh

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/itk3"
)

// collected lets the source look once, and gives what it handed over as Mail.
func (r *rig) collected() []flow.Mail {
	r.t.Helper()
	var out []flow.Mail
	for _, m := range r.look(nil) {
		var mail flow.Mail
		if err := json.Unmarshal(m.Raw, &mail); err != nil || m.Format != flow.MESH || m.RequestID != mail.ID {
			r.t.Fatalf("%v: %+v", err, m)
		}
		out = append(out, mail)
	}
	return out
}

// look lets the source look once; each message is answered by refuse, where there is one.
func (r *rig) look(refuse func(flow.Received) error) []flow.Received {
	r.t.Helper()
	var got []flow.Received
	var validated time.Time
	err := r.source.look(context.Background(), func(_ context.Context, m flow.Received) (flow.Receipt, error) {
		if refuse != nil {
			if err := refuse(m); err != nil {
				return flow.Receipt{}, err
			}
		}
		got = append(got, m)
		return flow.Receipt{}, nil
	}, &validated)
	if err != nil && refuse == nil {
		r.t.Fatal(err)
	}
	return got
}

func TestResponsesAreTakenAndAcknowledged(t *testing.T) {
	r := newRig(t, document(t, 0))
	r.want(flow.Delivered, "")
	got := r.collected()
	if len(got) != 2 || r.mesh.Waiting(ours) != 0 {
		t.Fatalf("%d taken, %d left", len(got), r.mesh.Waiting(ours))
	}
	for i, code := range []string{itk3.Success, itk3.PatientKnown} {
		res, err := itk3.ReadResponse(got[i].Body)
		if err != nil || res.Code != code || res.To != key || !res.Positive() || res.Sender != "Y06601" || got[i].Workflow != "GPFED_CONSULT_REPORT_ACK" || got[i].From != theirs {
			t.Errorf("%+v %v, from %s by %s", res, err, got[i].From, got[i].Workflow)
		}
	}
	if len(r.collected()) != 0 {
		t.Error("taken again")
	}
}

func TestWhatIsNotKeptIsNotAcknowledged(t *testing.T) {
	r := newRig(t, document(t, 0))
	r.want(flow.Delivered, "")
	r.look(func(flow.Received) error { return flow.ErrUnavailable })
	if r.mesh.Waiting(ours) != 2 || len(r.mesh.Received("acknowledge")) != 0 {
		t.Fatalf("%d left, %d acknowledged", r.mesh.Waiting(ours), len(r.mesh.Received("acknowledge")))
	}
	n := 0
	r.look(func(flow.Received) error { // one message that cannot be kept holds up no other
		if n++; n == 1 {
			return errors.New("this one")
		}
		return nil
	})
	if r.mesh.Waiting(ours) != 1 {
		t.Errorf("%d left", r.mesh.Waiting(ours))
	}
}

func TestAnAcknowledgementThatWasLostBringsTheSameMessageAgain(t *testing.T) {
	r := newRig(t, document(t, 0))
	r.want(flow.Delivered, "")
	r.mesh.Fail(sim.Fault{Call: "acknowledge", Drop: true})
	ids := map[string]int{}
	for range 2 {
		for _, m := range r.look(func(flow.Received) error { return nil }) {
			ids[m.RequestID]++
		}
	}
	if len(ids) != 2 || r.mesh.Waiting(ours) != 0 { // by its RequestID the flow knows it again
		t.Errorf("%v, %d left", ids, r.mesh.Waiting(ours))
	}
}

func TestMessagesOfManyChunksAndLanguages(t *testing.T) {
	r := newRig(t, nil)
	r.source.Workflows = nil
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte("MSH|^~\\&|A|B")) //nolint:errcheck // into memory
	z.Close()
	half := zipped.Len() / 2
	for _, mail := range []sim.Mail{
		{Chunks: [][]byte{[]byte("MSH|^~\\&|A|"), []byte("B|||"), []byte("C")}},
		{Chunks: [][]byte{[]byte(` {"resourceType":"Bundle"`), []byte("}")}},
		{Chunks: [][]byte{zipped.Bytes()[:half], zipped.Bytes()[half:]}}, // zipped by who sent it, cut then
		{Chunks: [][]byte{zipped.Bytes()}, Encoding: "gzip"},
		{Chunks: [][]byte{[]byte("something else")}},
	} {
		mail.From, mail.To, mail.Workflow = theirs, ours, "OTHER"
		r.mesh.Put(mail)
	}
	got := r.look(nil)
	if len(got) != 5 {
		t.Fatalf("%d taken", len(got))
	}
	for i, want := range []struct {
		format flow.Format
		raw    string
	}{{flow.HL7v2, "MSH|^~\\&|A|B|||C"}, {flow.FHIRR4, ` {"resourceType":"Bundle"}`}, {flow.HL7v2, "MSH|^~\\&|A|B"}, {flow.HL7v2, "MSH|^~\\&|A|B"}, {flow.MESH, ""}} {
		if got[i].Format != want.format || want.raw != "" && string(got[i].Raw) != want.raw || got[i].Subject.Name != theirs {
			t.Errorf("%d: %s %q from %s", i, got[i].Format, got[i].Raw, got[i].Subject.Name)
		}
	}
}

func TestOthersMessagesStay(t *testing.T) {
	r := newRig(t, nil)
	r.mesh.Put(sim.Mail{From: theirs, To: ours, Workflow: "TOC_DISCH_DMS", Chunks: [][]byte{[]byte("x")}})
	if got := r.look(nil); len(got) != 0 || r.mesh.Waiting(ours) != 1 {
		t.Errorf("%d taken, %d left", len(got), r.mesh.Waiting(ours))
	}
}

func TestATooLargeMessageStaysAndIsTold(t *testing.T) {
	r := newRig(t, nil)
	r.source.Workflows, r.source.Limit = nil, 100
	told := ""
	r.source.Alarm = func(name, _ string) { told = name }
	bomb := new(bytes.Buffer)
	z := gzip.NewWriter(bomb)
	z.Write(bytes.Repeat([]byte("a"), 1<<20)) //nolint:errcheck // into memory
	z.Close()
	for _, mail := range []sim.Mail{
		{Chunks: [][]byte{bytes.Repeat([]byte("a"), 60), bytes.Repeat([]byte("a"), 60)}},
		{Chunks: [][]byte{bomb.Bytes()}, Encoding: "gzip"},
	} {
		mail.From, mail.To, mail.Workflow = theirs, ours, "OTHER"
		r.mesh.Put(mail)
	}
	if got := r.look(func(flow.Received) error { return nil }); len(got) != 0 || r.mesh.Waiting(ours) != 2 || told != "mesh-too-large" {
		t.Errorf("%d taken, %d left, told %q", len(got), r.mesh.Waiting(ours), told)
	}
}

func TestTheSourceServesValidatesAndTellsItsTroubleOnce(t *testing.T) {
	r := newRig(t, document(t, 0))
	var log bytes.Buffer
	r.source.Log = slog.New(slog.NewTextHandler(&log, nil))
	r.source.Every = time.Millisecond
	r.mesh.Fail(sim.Fault{Call: "handshake", Status: 403, Times: 3})
	r.want(flow.Delivered, "")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	taken := 0
	err := r.source.Serve(ctx, func(context.Context, flow.Received) (flow.Receipt, error) {
		if taken++; taken == 2 {
			stop()
		}
		return flow.Receipt{}, nil
	})
	if err != nil || taken < 2 {
		t.Errorf("%v after %d", err, taken)
	}
	if n := len(r.mesh.Received("handshake")); n != 4 {
		t.Errorf("%d handshakes, want three refused and one for the day", n)
	}
	if strings.Count(log.String(), "cannot be emptied") != 1 {
		t.Errorf("log:\n%s", log.String())
	}
	noPatient(t, log.String())
}

func TestReplicasTakeTurns(t *testing.T) {
	r := newRig(t, nil)
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Millisecond)
	defer stop()
	asked := 0
	r.source.Turn = func(context.Context) (time.Duration, error) { asked++; return 5 * time.Millisecond, nil } // never ours
	if err := r.source.Serve(ctx, nil); err != nil || asked < 2 || r.calls() != "" {
		t.Errorf("%v, asked %d times, calls %s", err, asked, r.calls())
	}
}
