package sim

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// MESH stands in for the Message Exchange for Social Care and Health: mailboxes, the handshake, sending in one or more
// chunks, tracking by message id and by local id, listing, downloading and acknowledging, each with the NHSMESH
// authorization (shared key, password, nonce and count used once, a timestamp of the last two hours), and reports of what
// could not be delivered. A mailbox may belong to a Practice, which takes GP Connect Send Document messages and answers.
//
// It is made after the MESH API as NHSDigital/mesh-sandbox shows it. It leaves out: mailbox lookup, the rich inbox and
// outbox, batches, the five days after which a message is reported as not collected (Expire does it), limits of pace, and
// mutual TLS where it is started without a configuration that asks for it.
type MESH struct {
	server
	SharedKey string // of the environment; the key of every HMAC

	boxes    map[string]*mailbox
	patients map[string]string // "9990001014_19680412_TESTCASE": mailbox of the registered practice
	sent     map[string]*Mail  // by MESH's id
	order    []string
	tokens   map[string]bool // nonce and count used
	working  sync.WaitGroup
}

type mailbox struct {
	id, password, ods string
	practice          *Practice
	inbox             []string
}

// Mail is a message of MESH.
type Mail struct {
	ID, From, To, Asked string // Asked: mex-To as it came
	Workflow, LocalID   string
	Subject, FileName   string
	Type                string // DATA or REPORT
	ContentType         string
	Encoding            string // gzip or none
	Status              string // uploading, accepted, acknowledged, error
	Code, Event, Words  string // of an error
	Linked              string
	Chunks              [][]byte // as they came
	Total               int
	Sent                time.Time
	recipientODS        string
}

// Content gives the content of a message whole, unzipped.
func (m Mail) Content() []byte {
	all := bytes.Join(m.Chunks, nil)
	if m.Encoding != "gzip" {
		return all
	}
	return unzip(all)
}

func unzip(b []byte) []byte {
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	out, _ := io.ReadAll(r)
	return out
}

// StartMESH starts a MESH on addr ("": any free loopback port), over TLS where there is a configuration: mutual TLS where
// it asks for the certificate of a client.
func StartMESH(addr string, conf *tls.Config) (*MESH, error) {
	m := &MESH{SharedKey: "sim-shared-key", boxes: map[string]*mailbox{}, patients: map[string]string{}, sent: map[string]*Mail{}, tokens: map[string]bool{}}
	m.problem = func(status int, code string) answer {
		return m.refuse(status, refusal{event: "SEND", code: code, words: http.StatusText(status)})
	}
	if err := m.listenTLS(addr, conf); err != nil {
		return nil, err
	}
	for name, route := range map[string]struct {
		pattern string
		h       func(request, *mailbox) answer
	}{
		"handshake":      {"POST /messageexchange/{mailbox}", m.handshake},
		"validate":       {"GET /messageexchange/{mailbox}", m.handshake},
		"send":           {"POST /messageexchange/{mailbox}/outbox", m.send},
		"chunk":          {"POST /messageexchange/{mailbox}/outbox/{id}/{chunk}", m.chunk},
		"track":          {"GET /messageexchange/{mailbox}/outbox/tracking", m.track},
		"track local id": {"GET /messageexchange/{mailbox}/outbox/tracking/{local}", m.trackLocal},
		"inbox":          {"GET /messageexchange/{mailbox}/inbox", m.inbox},
		"get":            {"GET /messageexchange/{mailbox}/inbox/{id}", m.get},
		"get chunk":      {"GET /messageexchange/{mailbox}/inbox/{id}/{chunk}", m.get},
		"acknowledge":    {"PUT /messageexchange/{mailbox}/inbox/{id}/status/acknowledged", m.acknowledge},
	} {
		m.handle(name, route.pattern, func(r request) answer {
			box, refused := m.authorise(r)
			if box == nil {
				return refused
			}
			return route.h(r, box)
		})
	}
	return m, nil
}

// Close stops MESH and waits for its practices.
func (m *MESH) Close() error {
	err := m.server.Close()
	m.working.Wait()
	return err
}

// Mailbox opens a mailbox of an organisation; with a practice, that collects what comes.
func (m *MESH) Mailbox(id, password, ods string, p *Practice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boxes[strings.ToUpper(id)] = &mailbox{id: strings.ToUpper(id), password: password, ods: ods, practice: p}
}

// Register says at which mailbox's practice a patient is registered; birth is YYYYMMDD.
func (m *MESH) Register(nhsNumber, birth, surname, mailbox string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.patients[strings.ToUpper(nhsNumber+"_"+birth+"_"+surname)] = strings.ToUpper(mailbox)
}

// Forget makes a patient unknown to MESH.
func (m *MESH) Forget(nhsNumber, birth, surname string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.patients, strings.ToUpper(nhsNumber+"_"+birth+"_"+surname))
}

// Messages gives what was sent to a mailbox or by it, in order.
func (m *MESH) Messages(box string) []Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Mail
	for _, id := range m.order {
		if mail := m.sent[id]; mail.To == box || mail.From == box {
			out = append(out, *mail)
		}
	}
	return out
}

// Waiting gives how many messages lie in a mailbox.
func (m *MESH) Waiting(box string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.boxes[box].inbox)
}

// Put lays a message into a mailbox, in as many chunks as are given.
func (m *MESH) Put(mail Mail) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	mail.Total = len(mail.Chunks)
	return m.lay(&mail)
}

// Expire reports a message as not collected, as MESH does after five days, if it lies there still.
func (m *MESH) Expire(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if mail := m.sent[id]; mail != nil && mail.Status == "accepted" {
		m.drop(mail)
		m.report(mail, "14", "Message not collected by recipient after 5 days")
	}
}

func (m *MESH) drop(mail *Mail) {
	if box := m.boxes[mail.To]; box != nil {
		box.inbox = slices.DeleteFunc(box.inbox, func(id string) bool { return id == mail.ID })
	}
}

// lay gives a message its id and puts it into its inbox.
func (m *MESH) lay(mail *Mail) string {
	mail.ID = fmt.Sprintf("%s_%06X", m.Now().UTC().Format("20060102150405000"), m.next())
	mail.Status, mail.Sent = "accepted", m.Now()
	if mail.Type == "" {
		mail.Type = "DATA"
	}
	m.sent[mail.ID] = mail
	m.order = append(m.order, mail.ID)
	box := m.boxes[mail.To]
	box.inbox = append(box.inbox, mail.ID)
	return mail.ID
}

// report tells the sender of a message what became of it.
func (m *MESH) report(about *Mail, code, words string) {
	about.Status, about.Code, about.Event, about.Words = "error", code, "SEND", words
	m.lay(&Mail{To: about.From, Type: "REPORT", Workflow: about.Workflow, LocalID: about.LocalID, Linked: about.ID, Subject: "NDR: " + about.Subject,
		Code: code, Event: "SEND", Words: words})
}

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
