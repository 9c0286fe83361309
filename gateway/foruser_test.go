package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/gateway/api"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// byUsersConfig is the demo's gateway with an e-RS whose users sign in; the token service fetches its keys from it.
func byUsersConfig(t *testing.T, more ...string) []byte {
	t.Helper()
	file := applicationKey(t)
	text := edited(t, string(demoConfig), append([]string{`    auth: {token: "${ERS_TOKEN}"}
    ods`, `    auth: {token_url: "${TOKEN_URL}", client_id: hospital, key_file: ` + file + `}
    poll_auth: {token_url: "${TOKEN_URL}", client_id: hospital, key_file: ` + file + `}
    ods`}, more...)...)
	return []byte(text)
}

// applicationKey makes the key of an application, and gives its file.
func applicationKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func edited(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%q is not there", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// published lets the token service fetch the gateway's keys from where the gateway serves them.
func published(w *world) {
	w.token.RegisterJWKS("hospital", "http://"+w.app.public.Addr().String()+"/.well-known/jwks.json", "")
}

// asUser posts a request with the ID token of a user who has signed in.
func (w *world) asUser(t *testing.T, ctx context.Context, name, idToken string) {
	t.Helper()
	message, err := fixtures.Message(name)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.systmone.FHIR+"/$process-message", bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/fhir+json")
	req.Header.Set(api.SignInHeader, idToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", resp.Status, body)
	}
}

// A request by HL7 v2 has nobody who has signed in: it waits in sight of everybody until a referrer has, and is sent once.
func TestAReferralIsHeldUntilAUserSignsIn(t *testing.T) {
	ctx, w := runningBy(t, byUsersConfig(t), time.Minute)
	published(w)
	if err := w.sendHL7(ctx, &teller{out: io.Discard}, "suspected-cancer.hl7"); err != nil {
		t.Fatal(err)
	}
	w.parkedID(t, ctx)
	c := onlyCase(t, ctx, w)
	task := c.Task("sign-in")
	if c.State != pathway.Submitted || task == nil || task.Due.Sub(task.Opened) != time.Hour || task.Owner == "" {
		t.Errorf("%s %+v", c.State, c.Tasks)
	}
	if out, _ := w.operate(ctx, "cases"); !strings.Contains(out, "SUBMITTED (held for a user)") {
		t.Errorf("cases do not show it:\n%s", out)
	}
	if out, _ := w.operate(ctx, "parked"); !strings.Contains(out, "signed in") {
		t.Errorf("parked does not show it:\n%s", out)
	}
	if out, code := w.operate(ctx, "release", c.ID, "--reason", "go"); code != 1 || !strings.Contains(out, "CIS2 ID token") {
		t.Errorf("released as nobody: %d %s", code, out)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	os.WriteFile(bad, []byte("made-up-token\n"), 0o600)
	if _, code := w.operate(ctx, "release", c.ID, "--reason", "go", "--user-token-file", bad); code != 0 {
		t.Error("a release is judged by the token service, when it is used")
	}
	err := until(ctx, "it is held anew", func() bool { c := onlyCase(t, ctx, w); return c.Task("sign-in") != nil && c.Manual == 1 })
	if err != nil {
		t.Fatal(err)
	}
	if n := len(w.ers.Received()); n != 0 {
		t.Fatalf("%d calls of e-RS without a user", n)
	}

	good := filepath.Join(t.TempDir(), "good")
	idToken := w.token.SignIn()
	os.WriteFile(good, []byte(idToken), 0o600)
	if out, code := w.operate(ctx, "release", c.ID, "--reason", "signed and sent", "--user-token-file", good); code != 0 {
		t.Fatal(out)
	}
	c = w.await(t, ctx, pathway.AwaitingTriage)
	if c.Manual != 2 || c.Pending() != 0 {
		t.Errorf("%d manual steps, tasks %+v", c.Manual, c.Tasks)
	}
	if err := until(ctx, "the photos follow as the same user", func() bool { _, q := w.referral("9990001022"); return len(q.Files) >= 3 }); err != nil {
		t.Error(err)
	}
	if n := len(w.ers.Requests("r")); n != 1 {
		t.Errorf("%d referrals", n)
	}
	err = until(ctx, "the sign-in is forgotten", func() bool { return !w.app.sessions["ers"].Holds(c.ID) })
	if err != nil {
		t.Error(err)
	}
	stored, err := os.ReadFile(filepath.Join(w.dir, "gateway.db"))
	if err != nil || bytes.Contains(stored, []byte(idToken)) || bytes.Contains(stored, []byte("made-up-token")) {
		t.Errorf("the sign-in is in the store: %v", err)
	}
}

// A GP system that hands in its user's sign-in beside the request has it sent at once, as that user.
func TestARequestIsSentAsTheUserWhoSignedInThere(t *testing.T) {
	ctx, w := runningBy(t, byUsersConfig(t), time.Minute)
	published(w)
	w.asUser(t, ctx, "referral-routine.json", w.token.SignIn())
	c := w.await(t, ctx, pathway.AwaitingTriage)
	if c.Manual != 0 || c.Pending() != 0 {
		t.Errorf("%+v", c.Tasks)
	}
	if err := w.ers.Triage(c.Channel["ubrn"], sim.Outcome{Outcome: "ACCEPT_REFER_BOOK_LATER", Comment: "Clinic."}); err != nil {
		t.Fatal(err)
	}
	w.await(t, ctx, pathway.ProviderToAction) // read as the provider's application
}

// What a user did in their own e-RS session is resolved by its number: nothing is sent.
func TestWhatIsHeldIsDoneInTheUsersOwnSession(t *testing.T) {
	ctx, w := runningBy(t, byUsersConfig(t), time.Minute)
	published(w)
	if err := w.sendHL7(ctx, &teller{out: io.Discard}, "suspected-cancer.hl7"); err != nil {
		t.Fatal(err)
	}
	id := w.parkedID(t, ctx)
	if out, code := w.operate(ctx, "resolve", id, "--not-created", "--reason", "x"); code != 1 {
		t.Errorf("%d %s", code, out)
	}
	if out, code := w.operate(ctx, "resolve", id, "--ubrn", "000000070009", "--reason", "sent in e-RS by Dr Example"); code != 0 {
		t.Fatal(out)
	}
	c := w.await(t, ctx, pathway.AwaitingTriage)
	if c.Channel["ubrn"] != "000000070009" || c.Manual != 1 || c.Task("sign-in") != nil {
		t.Errorf("%+v", c)
	}
	if n := len(w.ers.Received("A011", "A020", "A012", "A016")); n != 0 {
		t.Errorf("%d writes", n)
	}
}

// A suspected cancer that is held for longer than its limit raises an alarm, which the clock of its state does not drown.
func TestASuspectedCancerIsNotHeldInSilence(t *testing.T) {
	p := startPager(t)
	ctx, w := runningBy(t, byUsersConfig(t, "owners:", "alarms: {webhook: \""+p.URL+"\"}\ntimers: {held_suspected: 1s, submitted: 1s}\nowners:"), time.Minute)
	published(w)
	if err := w.sendHL7(ctx, &teller{out: io.Discard}, "suspected-cancer.hl7"); err != nil {
		t.Fatal(err)
	}
	if err := until(ctx, "the alarm", func() bool { return p.told()["held event"] > 0 }); err != nil {
		t.Fatal(err)
	}
	c := onlyCase(t, ctx, w)
	if c.Task("held") == nil || c.Task("overdue") != nil || p.told()["overdue event"] != 0 {
		t.Errorf("%+v, %v", c.Tasks, p.told())
	}
	if ds, err := w.app.store.Deliveries(ctx, flow.DeliveryQuery{State: flow.Parked}); err != nil || len(ds) != 1 || !ds[0].Held() {
		t.Errorf("it fell back to something else: %+v %v", ds, err)
	}
}
