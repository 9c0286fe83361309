package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// authorization signs as the MESH API documents it.
func authorization(key, mailbox, nonce, count, password, at string) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s:%s:%s:%s:%s", mailbox, nonce, count, password, at)
	return fmt.Sprintf("NHSMESH %s:%s:%s:%s:%s", mailbox, nonce, count, at, hex.EncodeToString(mac.Sum(nil)))
}

// meshCall makes one request; header values follow their names.
func meshCall(t *testing.T, m *MESH, method, path, auth, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, m.URL+"/messageexchange/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", auth)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func startMESH(t *testing.T) (m *MESH, sign func() string) {
	t.Helper()
	m, err := StartMESH("", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	m.Mailbox("A", "pa", "RXX01", nil)
	m.Mailbox("B", "pb", "Y06601", nil)
	n := 0
	return m, func() string {
		n++
		return authorization(m.SharedKey, "A", "nonce", fmt.Sprint(n), "pa", time.Now().UTC().Format("200601021504"))
	}
}

func TestMESHChecksEachAuthorization(t *testing.T) {
	m, sign := startMESH(t)
	now := time.Now().UTC().Format("200601021504")
	old := time.Now().UTC().Add(-3 * time.Hour).Format("200601021504")
	used := sign()
	if status, _ := meshCall(t, m, "GET", "A/inbox", used, ""); status != 200 {
		t.Fatalf("answered %d", status)
	}
	for name, auth := range map[string]string{
		"none": "", "another scheme": "Bearer x", "used before": used, "another password": authorization(m.SharedKey, "A", "n1", "1", "pb", now),
		"another shared key": authorization("x", "A", "n2", "1", "pa", now), "an old one": authorization(m.SharedKey, "A", "n3", "1", "pa", old),
		"another mailbox": authorization(m.SharedKey, "B", "n4", "1", "pb", now), "no count": authorization(m.SharedKey, "A", "n5", "", "pa", now),
		"a changed count": strings.Replace(authorization(m.SharedKey, "A", "n6", "1", "pa", now), ":n6:1:", ":n6:2:", 1),
	} {
		if status, _ := meshCall(t, m, "GET", "A/inbox", auth, ""); status != 403 {
			t.Errorf("%s: answered %d, want 403", name, status)
		}
	}
}

func TestMESHAnswersAsDocumented(t *testing.T) {
	m, sign := startMESH(t)
	client := []string{"Mex-ClientVersion", "1", "Mex-OSName", "Linux", "Mex-OSVersion", "6"}
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		says                     string
	}{
		{"handshake", "POST", "A", "", client, 200, ""},
		{"handshake without who calls", "POST", "A", "", nil, 400, "Mex-"},
		{"no recipient", "POST", "A/outbox", "x", []string{"Mex-WorkflowID", "W"}, 400, `"08"`},
		{"nobody's mailbox", "POST", "A/outbox", "x", []string{"Mex-To", "C", "Mex-WorkflowID", "W"}, 417, `"12"`},
		{"no content", "POST", "A/outbox", "", []string{"Mex-To", "B", "Mex-WorkflowID", "W"}, 417, `"02"`},
		{"a bad chunk range", "POST", "A/outbox", "x", []string{"Mex-To", "B", "Mex-WorkflowID", "W", "Mex-Chunk-Range", "2:1"}, 417, "InvalidHeaderChunks"},
		{"not the first chunk", "POST", "A/outbox", "x", []string{"Mex-To", "B", "Mex-WorkflowID", "W", "Mex-Chunk-Range", "2:2"}, 417, "InvalidHeaderChunks"},
		{"another encoding", "POST", "A/outbox", "x", []string{"Mex-To", "B", "Mex-WorkflowID", "W", "Content-Encoding", "br"}, 422, "UnsupportedContentEncoding"},
		{"too long a header", "POST", "A/outbox", "x", []string{"Mex-To", strings.Repeat("B", 101), "Mex-WorkflowID", "W"}, 400, `"06"`},
		{"taken", "POST", "A/outbox", "x", []string{"Mex-To", "B", "Mex-WorkflowID", "W", "Mex-LocalID", "l1"}, 202, "message_id"},
		{"taken again: MESH tells no repeat", "POST", "A/outbox", "x", []string{"Mex-To", "B", "Mex-WorkflowID", "W", "Mex-LocalID", "l1"}, 202, "message_id"},
		{"two of one local id", "GET", "A/outbox/tracking/l1", "", nil, 300, ""},
		{"an unknown local id", "GET", "A/outbox/tracking/l2", "", nil, 404, ""},
		{"an unknown message", "GET", "A/inbox/none", "", nil, 404, `"20"`},
		{"a chunk of nothing", "POST", "A/outbox/none/2", "x", []string{"Mex-Chunk-Range", "2:2"}, 404, ""},
	} {
		status, body := meshCall(t, m, c.method, c.path, sign(), c.body, c.header...)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, body, c.status, c.says)
		}
	}
	if got := m.Messages("B"); len(got) != 2 || m.Waiting("B") != 2 {
		t.Errorf("%d messages, %d waiting", len(got), m.Waiting("B"))
	}
}

func TestAPracticeRefusesWhatBreaksSendDocument(t *testing.T) {
	for want, body := range map[string]string{
		"10009": "no XML", "20006": `<Bundle xmlns="http://hl7.org/fhir"><type value="collection"/></Bundle>`,
		"10002": `<Bundle xmlns="http://hl7.org/fhir"><id value="b"/><type value="message"/><entry><resource><MessageHeader/></resource></entry></Bundle>`,
	} {
		m, sign := startMESH(t)
		p := &Practice{ODS: "Y06601"}
		m.Mailbox("P", "pp", "Y06601", p)
		if status, text := meshCall(t, m, "POST", "A/outbox", sign(), body, "Mex-To", "P", "Mex-WorkflowID", "W"); status != 202 {
			t.Fatalf("%d %s", status, text)
		}
		got := m.Messages("A")
		if len(m.Filed(p)) != 0 || len(got) != 2 || got[1].Workflow != "W_ACK" || !strings.Contains(string(got[1].Content()), `<code value="`+want+`"/>`) {
			t.Errorf("%s: %d messages", want, len(got))
		}
	}
}
