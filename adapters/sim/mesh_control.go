package sim

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// playing serves what happens beside the API: mailboxes that are opened, patients who register, and practices that behave.
func (m *MESH) playing() {
	m.act("GET /sim/mailboxes", "the mailboxes", func(acting) (any, error) { return m.mailboxes(), nil })
	m.act("POST /sim/mailboxes", "a mailbox is opened: id, password, ods, practice (true: a GP practice collects and answers)", func(a acting) (any, error) {
		var x Box
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return nil, m.Open(x)
	})
	m.act("POST /sim/patients", "a patient registers with a practice: nhsNumber, birth (YYYYMMDD), surname, mailbox (empty: with none)", func(a acting) (any, error) {
		var x Registration
		if err := a.read(&x); err != nil {
			return nil, err
		}
		return nil, m.Admit(x)
	})
	m.act("GET /sim/mailboxes/{mailbox}/messages", "what was sent to it or by it", func(a acting) (any, error) { return m.list(a.PathValue("mailbox")) })
	m.act("POST /sim/mailboxes/{mailbox}/messages", "a message is laid into it: from, workflow, localId, subject, contentType, content", m.put)
	m.act("GET /sim/messages/{id}", "the content of a message", func(a acting) (any, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		mail := m.sent[a.PathValue("id")]
		if mail == nil {
			return nil, errNothing
		}
		return raw{"application/octet-stream", mail.Content()}, nil
	})
	m.act("POST /sim/messages/{id}/expire", "it was not collected for five days: its sender gets a report", func(a acting) (any, error) {
		m.mu.Lock()
		known := m.sent[a.PathValue("id")] != nil
		m.mu.Unlock()
		if !known {
			return nil, errNothing
		}
		m.Expire(a.PathValue("id"))
		return nil, nil
	})
	m.act("POST /sim/practices/{mailbox}", `how it behaves from now on: infrastructure and business (a code, or "none"), reversed, twice, delay, away`, m.behave)
	m.act("GET /sim/practices/{mailbox}/filed", "what it has filed", m.filedBy)
}

type listedBox struct {
	ID       string `json:"id"`
	ODS      string `json:"ods"`
	Practice bool   `json:"practice"`
	Waiting  int    `json:"waiting"`
}

func (m *MESH) mailboxes() []listedBox {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []listedBox{}
	for _, id := range keysOf(m.boxes) {
		b := m.boxes[id]
		out = append(out, listedBox{b.id, b.ods, b.practice != nil, len(b.inbox)})
	}
	return out
}

// Box is a mailbox as a person opens it.
type Box struct {
	ID       string `json:"id"`
	Password string `json:"password"`
	ODS      string `json:"ods"`
	Practice bool   `json:"practice"` // a GP practice is behind it, which collects and answers
}

// Open opens a mailbox.
func (m *MESH) Open(b Box) error {
	if b.ID == "" || b.Password == "" || b.ODS == "" {
		return errors.New("sim: a mailbox has an id, a password and an ods code")
	}
	var p *Practice
	if b.Practice {
		p = &Practice{ODS: b.ODS}
	}
	m.Mailbox(b.ID, b.Password, b.ODS, p)
	return nil
}

// Registration says at whose mailbox a patient is registered.
type Registration struct {
	NHSNumber string `json:"nhsNumber"`
	Birth     string `json:"birth"` // YYYYMMDD
	Surname   string `json:"surname"`
	Mailbox   string `json:"mailbox"` // empty: nobody's any more
}

// Admit registers a patient.
func (m *MESH) Admit(x Registration) error {
	if !validNHSNumber(x.NHSNumber) || len(x.Birth) != 8 || x.Surname == "" {
		return errors.New("sim: a patient has an nhsNumber, a birth (YYYYMMDD) and a surname")
	}
	if x.Mailbox == "" {
		m.Forget(x.NHSNumber, x.Birth, x.Surname)
		return nil
	}
	m.mu.Lock()
	known := m.boxes[strings.ToUpper(x.Mailbox)] != nil
	m.mu.Unlock()
	if !known {
		return errNothing
	}
	m.Register(x.NHSNumber, x.Birth, x.Surname, x.Mailbox)
	return nil
}

// listedMail is a message in few words. To is the mailbox: by whom it was found is patient data.
type listedMail struct {
	ID       string `json:"id"`
	From     string `json:"from"`
	To       string `json:"to"`
	Workflow string `json:"workflow"`
	LocalID  string `json:"localId,omitempty"`
	Type     string `json:"type"`
	Status   string `json:"status"`
	Code     string `json:"code,omitempty"`
	Chunks   int    `json:"chunks"`
	Size     int    `json:"size"` // bytes, unzipped
}

func (m *MESH) list(box string) (any, error) {
	out := []listedMail{}
	for _, mail := range m.Messages(strings.ToUpper(box)) {
		to := mail.To
		if strings.HasPrefix(to, "GPPROVIDER_") {
			to = ""
		}
		out = append(out, listedMail{mail.ID, mail.From, to, mail.Workflow, mail.LocalID, mail.Type, mail.Status, mail.Code, len(mail.Chunks), len(mail.Content())})
	}
	return out, nil
}

func (m *MESH) put(a acting) (any, error) {
	var x struct{ From, Workflow, LocalID, Subject, ContentType, Content string }
	if err := a.read(&x); err != nil {
		return nil, err
	}
	to := strings.ToUpper(a.PathValue("mailbox"))
	m.mu.Lock()
	known := m.boxes[to] != nil
	m.mu.Unlock()
	switch {
	case !known:
		return nil, errNothing
	case x.Workflow == "" || x.Content == "":
		return nil, errors.New("sim: a message has a workflow and content")
	}
	return object{"id": m.Put(Mail{From: x.From, To: to, Workflow: x.Workflow, LocalID: x.LocalID, Subject: x.Subject, ContentType: x.ContentType, Chunks: [][]byte{[]byte(x.Content)}})}, nil
}

// practice gives that behind a mailbox.
func (m *MESH) practice(mailbox string) (*Practice, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.boxes[strings.ToUpper(mailbox)]
	if b == nil || b.practice == nil {
		return nil, errNothing
	}
	return b.practice, nil
}

// codes are the responses that a practice may be told to give (ITK3, GP Connect Send Document).
var codes = []string{"", "none", "10001", "10002", "10003", "10004", "10005", "10006", "10007", "10008", "10009", "20001", "20002", "20003", "20004", "20005", "20006", "20007",
	"20008", "20009", "20010", "20011", "20012", "20013", "30001", "30002", "30003"}

func (m *MESH) behave(a acting) (any, error) {
	p, err := m.practice(a.PathValue("mailbox"))
	if err != nil {
		return nil, err
	}
	var x struct {
		Infrastructure, Business string
		Reversed, Twice, Away    bool
		Delay                    wait
	}
	if err := a.read(&x); err != nil {
		return nil, err
	}
	if !slices.Contains(codes, x.Infrastructure) || !slices.Contains(codes, x.Business) {
		return nil, errors.New(`sim: a response is a code of ITK3, or "none"; business 30001, 30002 or 30003`)
	}
	m.Set(p, func(p *Practice) {
		p.Infrastructure, p.Business, p.Reversed, p.Twice, p.Away, p.Delay = x.Infrastructure, x.Business, x.Reversed, x.Twice, x.Away, time.Duration(x.Delay)
	})
	return nil, nil
}

func (m *MESH) filedBy(a acting) (any, error) {
	p, err := m.practice(a.PathValue("mailbox"))
	if err != nil {
		return nil, err
	}
	out := []object{}
	for _, f := range m.Filed(p) {
		var parts []object
		for _, part := range f.Parts {
			parts = append(parts, object{"title": part.Title, "code": part.Code, "contentType": part.Media, "size": len(part.Bytes)})
		}
		out = append(out, object{"id": f.ID, "title": f.Title, "status": f.Status, "date": f.Date, "type": f.Type, "patient": f.Patient, "replaces": f.Replaces,
			"forAction": f.ForAction, "parts": parts})
	}
	return out, nil
}
