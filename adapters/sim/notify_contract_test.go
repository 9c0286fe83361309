package sim

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// get reads from NHS Notify.
func (n *Notify) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", n.Base()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer t")
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

// TestNotifyHoldsTheContract: what it answers, each failure that is published, and what it calls back.
func TestNotifyHoldsTheContract(t *testing.T) {
	n, err := StartNotify("")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	doc := contract(t, "notify/nhs-notify.openapi.json")
	const messages, message = "/v1/messages", "/v1/messages/{messageId}"
	resp, said := n.send(t, notice, "t")
	holds(t, doc, "POST", messages, resp, said)
	id := text(parse([]byte(said)), "data", "id")
	for _, again := range []string{notice, "{}", edited(t, notice, "9990548609", "1")} {
		resp, said := n.send(t, again, "t")
		if resp.StatusCode < 400 {
			t.Errorf("took %s", again)
		}
		holds(t, doc, "POST", messages, resp, said)
	}
	for _, status := range statuses(doc.Paths.Value(messages).Post) {
		n.Fail(Fault{Call: "messages", Status: status, Code: map[int]string{400: "CM_INVALID_VALUE"}[status]})
		resp, said := n.send(t, notice, "t")
		holds(t, doc, "POST", messages, resp, said)
	}
	for _, status := range statuses(doc.Paths.Value(message).Get) {
		n.Fail(Fault{Call: "message", Status: status})
		resp, said := n.get(t, "/v1/messages/"+id)
		holds(t, doc, "GET", message, resp, said)
	}
	callback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		path := "/client-provided-message-status-URI"
		if text(parse(body), "data", 0, "type") == "ChannelStatus" {
			path = "/client-provided-channel-status-URI"
		}
		conforms(t, path, doc.Paths.Value(path).Post.RequestBody.Value.Content.Get(jsonAPI).Schema.Value, string(body))
		w.WriteHeader(202)
	}))
	defer callback.Close()
	n.Callback = callback.URL
	for _, outcome := range []string{"delivered", "failed", "skipped"} {
		if err := n.ReportAs(context.Background(), "n-1", Reporting{Outcome: outcome}); err != nil {
			t.Fatal(err)
		}
		resp, said := n.get(t, "/v1/messages/"+id)
		holds(t, doc, "GET", message, resp, said)
		if !strings.Contains(said, `"channelStatus":"`+outcome+`"`) {
			t.Errorf("%s: %s", outcome, said)
		}
	}
	resp, said = n.get(t, "/v1/messages/none")
	holds(t, doc, "GET", message, resp, said)
}

func TestNotifyIsToldHowToReport(t *testing.T) {
	n, err := StartNotify("")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.Plans = []string{"b838b13c-f98c-4def-93f0-515d4e4f4ee1"}
	var got []string
	callback := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, text(parse(body), "data", 0, "attributes", "messageStatus"))
		w.WriteHeader(map[bool]int{true: 202, false: 401}[r.Header.Get("x-api-key") == "sim-key"])
	}))
	defer callback.Close()
	n.Callback = callback.URL
	if resp, said := n.send(t, edited(t, notice, "00000000-0000-0000-0000-000000000001", n.Plans[0], `"body"`, `"anything"`), "t"); resp.StatusCode != 201 {
		t.Fatalf("a plan of its own: %d %s", resp.StatusCode, said)
	}
	to := n.URL + "/sim/messages/n-1/report"
	control(t, to, `{"outcome":"failed","reversed":true}`, 204)
	if len(got) != 8 || got[0] != "failed" || got[7] != "created" {
		t.Errorf("%v", got)
	}
	got = nil
	control(t, to, `{"badKey":true}`, 400)
	if len(got) != 1 {
		t.Errorf("refused by key and went on: %v", got)
	}
	control(t, to, `{"outcome":"lost"}`, 400)
	control(t, n.URL+"/sim/messages/n-2/report", `{}`, 404)
	control(t, n.URL+"/sim/reporting", `{"auto":true,"outcome":"skipped"}`, 204)
	if n.Outcome != "skipped" || !n.Auto {
		t.Error("not told")
	}
}
