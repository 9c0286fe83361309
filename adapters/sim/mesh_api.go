package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// refusal is an error of the service.
type refusal struct{ id, event, code, words string }

// refuse answers with an error, in version 2 of its form.
func (m *MESH) refuse(status int, r refusal) answer {
	body := object{"detail": []any{object{"event": r.event, "code": r.code, "msg": r.words}}}
	if r.id != "" {
		body["message_id"] = r.id
	}
	return answer{status: status, header: map[string]string{"Content-Type": "application/vnd.mesh.v2+json"}, body: body}
}

var nhsmesh = regexp.MustCompile(`^NHSMESH ([^: ]+):([^:]+):([0-9]+):([0-9]{12}):([0-9a-f]{64})$`)

// authorise checks the authorization header against the mailbox of the path.
func (m *MESH) authorise(r request) (*mailbox, answer) {
	forbidden := func(words string) (*mailbox, answer) {
		return nil, m.refuse(http.StatusForbidden, refusal{words: words})
	}
	part := nhsmesh.FindStringSubmatch(r.Header.Get("Authorization"))
	if part == nil {
		return forbidden("Error reading from Authorization header")
	}
	box := m.boxes[strings.ToUpper(r.PathValue("mailbox"))]
	at, err := time.Parse("200601021504", part[4])
	key := part[2] + ":" + part[3]
	switch {
	case !strings.EqualFold(part[1], r.PathValue("mailbox")):
		return forbidden("Mailbox id does not match token")
	case box == nil:
		return forbidden("No mailbox matched")
	case err != nil || m.Now().UTC().Sub(at).Abs() > 2*time.Hour:
		return forbidden("Invalid Authentication Token")
	}
	mac := hmac.New(sha256.New, []byte(m.SharedKey))
	fmt.Fprintf(mac, "%s:%s:%s:%s:%s", part[1], part[2], part[3], box.password, part[4])
	if !hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(part[5])) {
		return forbidden("Invalid Authentication Token")
	}
	if m.tokens[key] {
		return forbidden("Error Duplicated Authentication Token")
	}
	m.tokens[key] = true
	return box, answer{}
}

// handshake is the validation of a mailbox.
func (m *MESH) handshake(r request, box *mailbox) answer {
	for _, name := range []string{"Mex-ClientVersion", "Mex-OSName", "Mex-OSVersion"} {
		if r.Header.Get(name) == "" {
			return m.refuse(http.StatusBadRequest, refusal{words: name + " is missing"})
		}
	}
	return answer{status: http.StatusOK, body: object{"mailboxId": box.id}}
}

// mexLimits are the longest headers of a message.
var mexLimits = map[string]int{"Mex-To": 100, "Mex-WorkflowID": 300, "Mex-Chunk-Range": 20, "Mex-Subject": 500, "Mex-LocalID": 300, "Mex-FileName": 300}

// send takes the first chunk of a message.
func (m *MESH) send(r request, from *mailbox) answer {
	get := func(name string) string { return strings.TrimSpace(r.Header.Get(name)) }
	for name, limit := range mexLimits {
		if len(get(name)) > limit || strings.ContainsFunc(get(name), func(c rune) bool { return c < ' ' }) {
			return m.refuse(http.StatusBadRequest, refusal{event: "TRANSFER", code: "06", words: "Malformed control file"})
		}
	}
	n, total, ok := chunkRange(get("Mex-Chunk-Range"))
	to := strings.ToUpper(get("Mex-To"))
	encoding := get("Content-Encoding")
	switch {
	case to == "":
		return m.refuse(http.StatusBadRequest, refusal{event: "SEND", code: "08", words: "TO_DTS missing"})
	case get("Mex-WorkflowID") == "":
		return m.refuse(http.StatusBadRequest, refusal{words: "mex-workflowid is missing"})
	case encoding != "" && encoding != "gzip":
		return m.refuse(http.StatusUnprocessableEntity, refusal{event: "SEND", code: "UnsupportedContentEncoding", words: "Unsupported content encoding"})
	case !ok || n != 1:
		return m.refuse(http.StatusExpectationFailed, refusal{event: "SEND", code: "InvalidHeaderChunks", words: "Invalid chunk values"})
	case len(r.body) == 0:
		return m.refuse(http.StatusExpectationFailed, refusal{event: "COLLECT", code: "02", words: "Data file is missing or inaccessible."})
	case !strings.HasPrefix(to, "GPPROVIDER_") && m.boxes[to] == nil:
		return m.refuse(http.StatusExpectationFailed, refusal{event: "SEND", code: "12", words: "Unregistered to address"})
	}
	mail := &Mail{From: from.id, To: to, Asked: to, Workflow: get("Mex-WorkflowID"), LocalID: get("Mex-LocalID"), Subject: get("Mex-Subject"), FileName: get("Mex-FileName"),
		Type: "DATA", ContentType: get("Content-Type"), Encoding: encoding, Status: "uploading", Total: total, Chunks: [][]byte{r.body}, Sent: m.Now()}
	mail.ID = fmt.Sprintf("%s_%06X", m.Now().UTC().Format("20060102150405000"), m.next())
	m.sent[mail.ID] = mail
	m.order = append(m.order, mail.ID)
	if total == 1 {
		m.accept(mail)
	}
	return answer{status: http.StatusAccepted, header: v2(), body: object{"message_id": mail.ID}}
}

func v2() map[string]string { return map[string]string{"Content-Type": "application/vnd.mesh.v2+json"} }

// chunkRange reads "2:3"; an empty one is the only chunk.
func chunkRange(s string) (n, total int, ok bool) {
	if s == "" {
		return 1, 1, true
	}
	a, b, ok := strings.Cut(s, ":")
	n, err1 := strconv.Atoi(strings.TrimSpace(a))
	total, err2 := strconv.Atoi(strings.TrimSpace(b))
	return n, total, ok && err1 == nil && err2 == nil && n > 0 && n <= total
}

// chunk takes a further chunk; one that was taken may come again.
func (m *MESH) chunk(r request, from *mailbox) answer {
	mail := m.sent[strings.ToUpper(r.PathValue("id"))]
	number, _ := strconv.Atoi(r.PathValue("chunk"))
	n, total, ok := chunkRange(r.Header.Get("Mex-Chunk-Range"))
	switch {
	case mail == nil:
		return m.refuse(http.StatusNotFound, refusal{words: "Not Found"})
	case mail.From != from.id:
		return m.refuse(http.StatusForbidden, refusal{words: "Forbidden"})
	case mail.Status != "uploading":
		return m.refuse(http.StatusLocked, refusal{id: mail.ID, words: "Locked"})
	case !ok || n != number || total != mail.Total:
		return m.refuse(http.StatusExpectationFailed, refusal{id: mail.ID, event: "SEND", code: "InvalidHeaderChunks", words: "Invalid chunk values"})
	case n > len(mail.Chunks)+1 || n < 2:
		return m.refuse(http.StatusNotAcceptable, refusal{id: mail.ID, words: "Not Acceptable"})
	case r.Header.Get("Content-Encoding") != mail.Encoding:
		return m.refuse(http.StatusExpectationFailed, refusal{id: mail.ID, words: "cannot change content encoding"})
	}
	mail.Chunks = append(mail.Chunks[:n-1], r.body)
	if n == total {
		m.accept(mail)
	}
	return answer{status: http.StatusAccepted, header: v2()}
}

// accept finds the mailbox of a whole message and lays it there; by a patient it may find none.
func (m *MESH) accept(mail *Mail) {
	if key, routed := strings.CutPrefix(mail.To, "GPPROVIDER_"); routed {
		box, known := m.patients[key]
		if !known {
			m.report(mail, "EPL-153", "NHS Number not found")
			return
		}
		mail.To = box // the patient is not seen in what is told of the message
	}
	box := m.boxes[mail.To]
	mail.Status, mail.recipientODS = "accepted", box.ods
	box.inbox = append(box.inbox, mail.ID)
	if box.practice != nil {
		m.collect(box, mail)
	}
}

func (m *MESH) trackedBy(mail *Mail) answer {
	body := object{"message_id": mail.ID, "local_id": mail.LocalID, "workflow_id": mail.Workflow, "recipient": mail.To, "status": mail.Status,
		"status_success": mail.Code == "", "upload_timestamp": mail.Sent.UTC().Format(time.RFC3339), "recipient_ods_code": mail.recipientODS}
	if mail.Code != "" {
		body["status_code"], body["status_event"], body["status_description"] = mail.Code, mail.Event, mail.Words
	}
	return answer{status: http.StatusOK, header: v2(), body: body}
}

func (m *MESH) track(r request, from *mailbox) answer {
	mail := m.sent[strings.ToUpper(r.URL.Query().Get("messageID"))]
	if mail == nil || mail.From != from.id {
		return m.refuse(http.StatusNotFound, refusal{words: "Not Found"})
	}
	return m.trackedBy(mail)
}

// trackLocal is the deprecated way: version 1 of the answer, 300 where there are several.
func (m *MESH) trackLocal(r request, from *mailbox) answer {
	var found []*Mail
	for _, id := range m.order {
		if mail := m.sent[id]; mail.From == from.id && mail.LocalID == r.PathValue("local") {
			found = append(found, mail)
		}
	}
	switch len(found) {
	case 0:
		return m.refuse(http.StatusNotFound, refusal{words: "Not Found"})
	case 1:
		mail := found[0]
		return answer{status: http.StatusOK, body: object{"messageId": mail.ID, "dtsId": mail.ID, "localId": mail.LocalID, "workflowId": mail.Workflow,
			"status": strings.ToUpper(mail.Status[:1]) + mail.Status[1:], "statusSuccess": map[bool]string{true: "SUCCESS", false: "ERROR"}[mail.Code == ""],
			"chunkCount": mail.Total, "recipient": mail.To, "meshRecipientOdsCode": mail.recipientODS}}
	}
	return answer{status: http.StatusMultipleChoices}
}

// inbox lists message ids, those of one workflow where it is asked for.
func (m *MESH) inbox(r request, box *mailbox) answer {
	most, err := strconv.Atoi(r.URL.Query().Get("max_results"))
	if err != nil {
		most = 500
	}
	want, ids := r.URL.Query().Get("workflow_filter"), []any{}
	for _, id := range box.inbox {
		if mail := m.sent[id]; (want == "" || mail.Workflow == want) && len(ids) < most {
			ids = append(ids, id)
		}
	}
	return answer{status: http.StatusOK, header: v2(), body: object{"messages": ids, "approx_inbox_count": len(box.inbox), "links": object{"self": r.URL.RequestURI()}}}
}

// get gives a message or a chunk of it.
func (m *MESH) get(r request, box *mailbox) answer {
	mail := m.sent[strings.ToUpper(r.PathValue("id"))]
	n := 1
	if s := r.PathValue("chunk"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	switch {
	case mail == nil:
		return m.refuse(http.StatusNotFound, refusal{event: "RECEIVE", code: "20", words: "Message does not exist"})
	case mail.To != box.id:
		return m.refuse(http.StatusForbidden, refusal{words: "Forbidden"})
	case mail.Status != "accepted" && mail.Status != "acknowledged":
		return m.refuse(http.StatusGone, refusal{words: "Message no longer available for download"})
	}
	h := map[string]string{"Mex-MessageID": mail.ID, "Mex-From": mail.From, "Mex-To": mail.To, "Mex-WorkflowID": mail.Workflow, "Mex-LocalID": mail.LocalID,
		"Mex-Subject": mail.Subject, "Mex-MessageType": mail.Type, "Mex-Version": "1.0", "Mex-AddressType": "ALL", "Content-Type": "application/octet-stream",
		"Mex-StatusSuccess": "SUCCESS", "Mex-StatusCode": "00", "Mex-StatusEvent": "TRANSFER", "Mex-StatusDescription": "Transferred to recipient mailbox"}
	if mail.Type == "REPORT" {
		h["Mex-LinkedMsgID"], h["Mex-StatusSuccess"], h["Mex-StatusCode"], h["Mex-StatusEvent"], h["Mex-StatusDescription"] = mail.Linked, "ERROR", mail.Code, mail.Event, mail.Words
		return answer{status: http.StatusOK, header: filled(h), body: []byte{}}
	}
	if n < 1 || n > len(mail.Chunks) {
		return m.refuse(http.StatusNotFound, refusal{event: "RECEIVE", code: "20", words: "Message does not exist"})
	}
	h["Mex-Chunk-Range"] = fmt.Sprintf("%d:%d", n, mail.Total)
	body := mail.Chunks[n-1]
	if mail.Encoding == "gzip" && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h["Content-Encoding"] = "gzip"
	} else if mail.Encoding == "gzip" {
		body = unzip(body)
	}
	status := http.StatusOK
	if n < mail.Total {
		status = http.StatusPartialContent
	}
	return answer{status: status, header: filled(h), body: body}
}

// filled leaves out headers without a value.
func filled(h map[string]string) map[string]string {
	for k, v := range h {
		if v == "" {
			delete(h, k)
		}
	}
	return h
}

// acknowledge takes a message out of its inbox.
func (m *MESH) acknowledge(r request, box *mailbox) answer {
	mail := m.sent[strings.ToUpper(r.PathValue("id"))]
	switch {
	case mail == nil:
		return m.refuse(http.StatusNotFound, refusal{event: "RECEIVE", code: "20", words: "Message does not exist"})
	case mail.To != box.id:
		return m.refuse(http.StatusForbidden, refusal{words: "Forbidden"})
	}
	m.drop(mail)
	if mail.Status == "accepted" {
		mail.Status = "acknowledged"
	}
	return answer{status: http.StatusOK, header: v2()}
}
