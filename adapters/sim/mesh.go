package sim

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
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
	m.playing()
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
