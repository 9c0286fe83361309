package sim

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const notice = `{"data":{"type":"Message","attributes":{"routingPlanId":"00000000-0000-0000-0000-000000000001","messageReference":"n-1",
 "recipient":{"nhsNumber":"9990548609"},"personalisation":{"body":"Your GP has sent a request."}}}}`

func (n *Notify) send(t *testing.T, body, token string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("POST", n.Base()+"/v1/messages", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.api+json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(said)
}

func TestNotifyChecksWhatItGets(t *testing.T) {
	n, err := StartNotify("")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for name, c := range map[string]struct {
		body, token string
		status      int
		code        string
	}{
		"no token":            {notice, "", 401, "CM_DENIED"},
		"no reference":        {edited(t, notice, `"n-1"`, `""`), "t", 400, "CM_MISSING_VALUE"},
		"a wrong check digit": {edited(t, notice, "9990548609", "9990548608"), "t", 400, "CM_INVALID_NHS_NUMBER"},
		"a date of birth":     {edited(t, notice, `"nhsNumber"`, `"dateOfBirth":"1970-01-02","nhsNumber"`), "t", 400, "CM_INVALID_VALUE"},
		"no UUID":             {edited(t, notice, "00000000-0000-0000-0000-000000000001", "plan"), "t", 400, "CM_INVALID_VALUE"},
		"an unknown plan":     {edited(t, notice, "000000000001", "000000000009"), "t", 404, "CM_NO_SUCH_ROUTING_PLAN"},
		"5,001 characters":    {edited(t, notice, "Your GP has sent a request.", strings.Repeat("é", 5001)), "t", 400, "CM_INVALID_VALUE"},
		"not JSON":            {"{", "t", 400, "CM_MISSING_VALUE"},
	} {
		if resp, said := n.send(t, c.body, c.token); resp.StatusCode != c.status || !strings.Contains(said, c.code) {
			t.Errorf("%s: %d %s, want %d %s", name, resp.StatusCode, said, c.status, c.code)
		}
	}
	resp, said := n.send(t, notice, "t")
	if resp.StatusCode != 201 || len(text(parse([]byte(said)), "data", "id")) != 27 {
		t.Fatalf("%d %s", resp.StatusCode, said)
	}
	if resp, said := n.send(t, notice, "t"); resp.StatusCode != 422 || !strings.Contains(said, "CM_DUPLICATE_REQUEST") {
		t.Errorf("again: %d %s", resp.StatusCode, said)
	}
	if m := n.Messages(); len(m) != 1 || m[0].Text != "Your GP has sent a request." || m[0].NHSNumber != "9990548609" {
		t.Errorf("%+v", m)
	}
	n.Fail(Fault{Status: 425})
	if resp, _ := n.send(t, notice, "t"); resp.StatusCode != 425 || resp.Header.Get("Retry-After") != "300" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestNotifyReports(t *testing.T) {
	n, err := StartNotify("")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var mu sync.Mutex
	var got []string
	keys := map[string]int{}
	refuse := 2
	callback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if refuse--; refuse >= 0 {
			w.WriteHeader(503)
			return
		}
		body, _ := io.ReadAll(r.Body)
		in := parse(body)
		a := at(in, "data", 0, "attributes")
		got = append(got, text(a, "channel")+text(a, "channelStatus")+text(a, "messageStatus"))
		keys[text(in, "data", 0, "meta", "idempotencyKey")]++
		if r.Header.Get("x-api-key") != "sim-key" || len(r.Header.Get("x-hmac-sha256-signature")) != 64 || text(a, "messageReference") != "n-1" {
			t.Errorf("%v %s", r.Header, body)
		}
		w.WriteHeader(202)
	}))
	defer callback.Close()
	n.Callback = callback.URL
	n.send(t, notice, "t")
	if err := n.Report(context.Background(), "n-1"); err != nil {
		t.Fatal(err)
	}
	if want := "created pending_enrichment enriched sending nhsappcreated nhsappsending nhsappdelivered delivered"; strings.Join(got, " ") != want {
		t.Errorf("%v", got)
	}
	got, n.Twice, n.Outcome = nil, true, "failed"
	if err := n.Report(context.Background(), "n-1"); err != nil || len(got) != 16 || got[0] != "failed" || got[15] != "failed" {
		t.Errorf("%v %v", got, err)
	}
	if len(keys) != 8 {
		t.Errorf("%d idempotency keys for 8 reports", len(keys))
	}
	refuse = 3
	if err := n.Report(context.Background(), "n-1"); err != nil || refuse >= 0 {
		t.Errorf("%v, refused %d times too few", err, refuse+1)
	}
	refuse = 1000
	soon, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if n.Report(soon, "n-1") == nil {
		t.Error("a callback that is never taken is not told")
	}
	if n.Report(context.Background(), "n-2") == nil {
		t.Error("reported on nothing")
	}
}

func TestNotifyReportsByItself(t *testing.T) {
	n, err := StartNotify("")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, 8)
	callback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(202)
		done <- struct{}{}
	}))
	defer callback.Close()
	n.Callback, n.Auto = callback.URL, true
	n.send(t, notice, "t")
	for range 8 {
		<-done
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
