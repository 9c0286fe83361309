package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Cases finds and tells cases; a flow.Store does.
type Cases interface {
	Case(ctx context.Context, id flow.ID) (flow.CaseRecord, error)
	Cases(ctx context.Context, q flow.CaseQuery) ([]flow.CaseRecord, error)
	Story(ctx context.Context, id flow.ID) ([]flow.Event, error)
}

// Messages gives messages as they were kept, and the deliveries made of them; a flow.Store does.
type Messages interface {
	Message(ctx context.Context, id flow.ID) (flow.Message, error)
	Deliveries(ctx context.Context, q flow.DeliveryQuery) ([]flow.Delivery, error)
}

// Explainer translates a kept message again and says where each element of the result comes from: the JSON
// of `gateway map --explain`.
type Explainer interface {
	Explain(ctx context.Context, m flow.Message) ([]byte, error)
}

// Originals gives a kept message as it came; flow.Pipeline does.
type Originals interface {
	Original(ctx context.Context, m flow.Message) (io.ReadCloser, error)
}

// Releaser lets a held request go; flow.Pipeline does.
type Releaser interface {
	Release(ctx context.Context, id flow.ID, person, reason string) error
	ReleaseMerged(ctx context.Context, id flow.ID, person, reason string) error // after a merge had stopped it
	ReleaseSignedIn(ctx context.Context, id flow.ID, s flow.SignIn) error       // what is held for a user, as one who has signed in
}

// Acts carries out what a person decided.
type Acts interface {
	Act(ctx context.Context, a Act) error
	Preview(ctx context.Context, a Act) (Preview, error)                             // of a replay, redirect or discard; nothing is done
	Content(ctx context.Context, id flow.ID) (b []byte, mediaType string, err error) // what a delivery sends
}

// Act is a decision about a delivery or destination, with what some verbs say besides.
type Act struct {
	flow.Act
	Translate  bool    // replay: translate the message again first
	UBRN       string  // resolve: the create had worked, under this number
	NotCreated bool    // resolve: the create had not worked
	Case       flow.ID // resolve: the case that a held answer is about
	Merge      bool    // release: after a merge of patient records
	Content    string  // replay: what a person made of the bytes; empty: as they are
}

// Probe is one thing that must hold for the gateway to take messages or, where Lesser says what it is called
// when it does not, one that it takes them without.
type Probe struct {
	Name   string
	Check  func(ctx context.Context) error
	Lesser string // shown in place of "down", and the gateway is ready all the same; empty: it is not
}

// Admin is the listener of operations: the console and the command line use it and nothing else.
type Admin struct {
	Security Security
	Cases    Cases
	Messages Messages
	Acts     Acts
	Explain  Explainer
	Original Originals
	Release  Releaser
	Tell     Teller
	Relays   Relayer
	Patient  func(nhsNumber string) string // the keyed hash that cases are found by
	Ready    []Probe
	Metrics  http.Handler
	Backup   Backup // nil: the store is not backed up through the gateway
	Audit    Audit
	Now      func() time.Time
	Log      *slog.Logger
}

// actBytes is the most a body of the admin listener may hold.
const actBytes = 1 << 20

//go:embed openapi.json
var openapi []byte

// Handler serves the admin listener.
func (a *Admin) Handler() http.Handler { return a.engine() }

func (a *Admin) engine() *gin.Engine {
	e := router(a.Log)
	e.GET("/healthz", func(c *gin.Context) { send(c, http.StatusOK, "application/json", gin.H{"status": "up"}) })
	e.GET("/readyz", a.ready)
	known := e.Group("/", a.Security.authenticate, allow(Viewer, Operator, Referrer, Provider), limited(actBytes))
	known.GET("/metrics", gin.WrapH(a.Metrics))
	known.GET("/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/json", openapi) })

	v1 := known.Group("/api/v1")
	v1.POST("/cases/search", a.searchCases)
	v1.GET("/cases/:id", a.showCase)
	v1.GET("/messages/:id", a.showMessage)
	v1.GET("/messages/:id/explain", a.explainMessage)
	v1.GET("/messages/:id/original", a.originalMessage)
	v1.GET("/deliveries", a.listDeliveries)
	v1.GET("/deliveries/:id/content", allow(Operator), a.contentOf)
	v1.POST("/deliveries/:id/preview", allow(Operator, Viewer), a.previewAct)
	v1.GET("/parked", a.listParked)
	v1.GET("/backup", allow(Operator), a.backupStore)
	v1.POST("/cases/:id/release", allow(Referrer, Operator, Provider), a.releaseCase)
	v1.POST("/cases/:id/answer", allow(Provider), a.relay(flow.RelayAnswer))
	v1.POST("/cases/:id/triage", allow(Provider), a.relay(flow.RelayTriage))
	v1.POST("/cases/:id/cancel", allow(Provider, Referrer), a.relay(flow.RelayCancel))
	v1.POST("/cases/:id/agree", allow(Referrer), a.agree)
	v1.POST("/cases/:id/told", allow(Referrer, Operator), a.say("told"))
	v1.POST("/cases/:id/waive", allow(Referrer), a.say("waive"))
	v1.POST("/cases/:id/tell", allow(Referrer), a.say("tell"))
	v1.POST("/deliveries/:id/resolve", allow(Referrer, Operator), a.actOnDelivery("resolve"))
	for _, verb := range []string{"replay", "redirect", "discard"} {
		v1.POST("/deliveries/:id/"+verb, allow(Operator), a.actOnDelivery(verb))
		v1.POST("/parked/:id/"+verb, allow(Operator), a.actOnGroup(verb))
	}
	for _, verb := range []string{"pause", "resume"} {
		v1.POST("/destinations/:name/"+verb, allow(Operator), a.actOnDestination(verb))
	}
	return e
}

// ready tells whether messages can be taken, and which part keeps them from it. Why is in the log: this
// route is open.
func (a *Admin) ready(c *gin.Context) {
	code, checks := http.StatusOK, gin.H{}
	for _, p := range a.Ready {
		ctx, cancel := context.WithTimeout(c.Request.Context(), 5*time.Second)
		err := p.Check(ctx)
		cancel()
		checks[p.Name] = "up"
		switch {
		case err == nil:
		case p.Lesser != "":
			checks[p.Name] = p.Lesser // told in the log by whoever found it, once
		default:
			code = http.StatusServiceUnavailable
			checks[p.Name] = "down"
			a.Log.Warn("not ready", "name", p.Name, "error", err)
		}
	}
	send(c, code, "application/json", gin.H{"status": map[bool]string{true: "up", false: "down"}[code == http.StatusOK], "checks": checks})
}

// found reads the id of a route; false when it is none and the request is refused.
func found(c *gin.Context) (flow.ID, bool) {
	id, err := flow.ParseID(c.Param("id"))
	if err != nil {
		refuse(c, issue.New(issue.Structure, "id", "an id is a UUID"))
	}
	return id, err == nil
}

// missing gives the store's errors their public face.
func missing(err error, what string) error {
	switch {
	case errors.Is(err, flow.ErrNotFound):
		return issue.New(issue.NotFound, "", "no such "+what).Because(err)
	case errors.Is(err, flow.ErrUnavailable):
		return issue.New(issue.Unavailable, "", "the store is down").Because(err)
	case errors.Is(err, flow.ErrStale), errors.Is(err, flow.ErrConflict):
		return issue.New(issue.Conflict, "", "it changed meanwhile: look again").Because(err)
	}
	return err
}

// caseView is a case for people: without the patient's hash.
type caseView struct {
	ID           flow.ID         `json:"id"`
	Version      int64           `json:"version"`
	Kind         string          `json:"kind"`
	State        string          `json:"state"`
	Urgency      string          `json:"urgency,omitempty"`
	Organisation string          `json:"organisation,omitempty"`
	Performer    string          `json:"performer,omitempty"`
	Opened       time.Time       `json:"opened"`
	Changed      time.Time       `json:"changed"`
	Ended        bool            `json:"ended"`
	ForUser      bool            `json:"forUser,omitempty"` // something of it is held until a user signs in
	Work         pathway.Work    `json:"work"`              // what people had to do beyond asking and answering
	Case         json.RawMessage `json:"case,omitempty"`    // pathway.Case
	Story        []flow.Event    `json:"story,omitempty"`
	Messages     []messageView   `json:"messages,omitempty"`
	Deliveries   []deliveryView  `json:"deliveries,omitempty"`
}

// messageView is what a case shows of a message: not its content, but what the maps left of it.
type messageView struct {
	ID     flow.ID     `json:"id"`
	Source string      `json:"source"`
	Format flow.Format `json:"format"`
	At     time.Time   `json:"at"`
	Maps   string      `json:"maps,omitempty"`
	flow.Loss
}

// messagesOf gives the messages that a story tells of, in its order.
func (a *Admin) messagesOf(ctx context.Context, story []flow.Event) ([]messageView, error) {
	var out []messageView
	for _, e := range story {
		id, err := flow.ParseID(e.Ref)
		if e.What != "received" || err != nil {
			continue
		}
		m, err := a.Messages.Message(ctx, id)
		if errors.Is(err, flow.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, messageView{ID: m.ID, Source: m.Source, Format: m.Format, At: m.At, Maps: m.Maps, Loss: m.Loss})
	}
	return out, nil
}

func viewCase(r flow.CaseRecord) caseView {
	i := r.Index
	return caseView{ID: r.ID, Version: r.Version, Kind: i.Kind, State: i.State, Urgency: i.Urgency, Organisation: i.Organisation,
		Performer: i.Performer, Opened: i.Opened, Changed: i.Changed, Ended: i.Ended, ForUser: i.ForUser, Work: i.Work}
}

// deliveryView is a delivery for people: without its body, which is patient data.
type deliveryView struct {
	ID      flow.ID      `json:"id"`
	Case    flow.ID      `json:"case,omitzero"`
	Message flow.ID      `json:"message,omitzero"`
	Parent  flow.ID      `json:"parent,omitzero"`
	To      string       `json:"to"`
	What    string       `json:"what"`
	Key     string       `json:"key"`
	Maps    string       `json:"maps,omitempty"`
	State   flow.State   `json:"state"`
	Attempt int          `json:"attempt"`
	Due     time.Time    `json:"due"`
	Created time.Time    `json:"created"`
	Bytes   int64        `json:"bytes"`
	Parts   int          `json:"parts"`
	Steps   []string     `json:"steps,omitempty"`
	Cause   *issue.Issue `json:"cause,omitempty"`
}

func viewDeliveries(ds []flow.Delivery) []deliveryView {
	views := make([]deliveryView, len(ds))
	for i, d := range ds {
		views[i] = deliveryView{ID: d.ID, Case: d.Case, Message: d.Message, Parent: d.Parent, To: d.To, What: d.What, Key: d.Key, Maps: d.Maps,
			State: d.State, Attempt: d.Attempt, Due: d.Due, Created: d.Created, Bytes: d.Body.Size, Parts: len(d.Parts), Cause: d.Cause}
		for _, s := range d.Steps {
			views[i].Steps = append(views[i].Steps, s.Name)
		}
	}
	return views
}

// searchCases finds cases. By POST: an NHS number in a URL would sit in logs.
func (a *Admin) searchCases(c *gin.Context) {
	var q struct {
		Patient      string `json:"patient"` // NHS number
		Organisation string `json:"organisation"`
		Kind         string `json:"kind"`
		State        string `json:"state"`
		Open         bool   `json:"open"`
		Limit        int    `json:"limit"`
	}
	if err := body(c, &q, "patient", "organisation", "kind", "state", "open", "limit"); err != nil {
		refuse(c, err)
		return
	}
	if q.Limit < 0 || q.Limit > 1000 {
		refuse(c, issue.New(issue.Value, "limit", "a number from 1 to 1000"))
		return
	}
	if !audited(c, a.Audit, Entry{Verb: "search", What: "cases"}) {
		return
	}
	query := flow.CaseQuery{Organisation: q.Organisation, Kind: q.Kind, State: q.State, Open: q.Open, Limit: q.Limit}
	if q.Patient != "" {
		query.Patient = a.Patient(q.Patient)
	}
	records, err := a.Cases.Cases(c.Request.Context(), query)
	if err != nil {
		refuse(c, missing(err, "case"))
		return
	}
	views := make([]caseView, len(records))
	for i, r := range records {
		views[i] = viewCase(r)
	}
	send(c, http.StatusOK, "application/json", gin.H{"cases": views})
}

// showCase tells a case, its story and what is on its way.
func (a *Admin) showCase(c *gin.Context) {
	id, ok := found(c)
	if !ok || !audited(c, a.Audit, Entry{Verb: "read", What: "case/" + id.String()}) {
		return
	}
	ctx := c.Request.Context()
	record, err := a.Cases.Case(ctx, id)
	if err != nil {
		refuse(c, missing(err, "case"))
		return
	}
	view := viewCase(record)
	view.Case = record.State
	deliveries, err := a.Messages.Deliveries(ctx, flow.DeliveryQuery{Case: id})
	if err == nil {
		view.Deliveries = viewDeliveries(deliveries)
		view.Story, err = a.Cases.Story(ctx, id)
	}
	if err == nil {
		view.Messages, err = a.messagesOf(ctx, view.Story)
	}
	if err != nil {
		refuse(c, missing(err, "case"))
		return
	}
	send(c, http.StatusOK, "application/json", view)
}

// message reads the message of a route, audited; false when the request is refused.
func (a *Admin) message(c *gin.Context, verb string) (flow.Message, bool) {
	id, ok := found(c)
	if !ok || !audited(c, a.Audit, Entry{Verb: verb, What: "message/" + id.String()}) {
		return flow.Message{}, false
	}
	m, err := a.Messages.Message(c.Request.Context(), id)
	if err != nil {
		refuse(c, missing(err, "message"))
		return m, false
	}
	return m, true
}

func (a *Admin) showMessage(c *gin.Context) {
	if m, ok := a.message(c, "read"); ok {
		send(c, http.StatusOK, "application/json", m)
	}
}

func (a *Admin) explainMessage(c *gin.Context) {
	m, ok := a.message(c, "explain")
	if !ok {
		return
	}
	b, err := a.Explain.Explain(c.Request.Context(), m)
	if err != nil {
		refuse(c, missing(err, "message"))
		return
	}
	c.Data(http.StatusOK, "application/json", b)
}

func (a *Admin) originalMessage(c *gin.Context) {
	m, ok := a.message(c, "read-original")
	if !ok {
		return
	}
	r, err := a.Original.Original(c.Request.Context(), m)
	if err != nil {
		refuse(c, missing(err, "message"))
		return
	}
	defer r.Close()
	size := m.Raw.Size
	if m.Whole != nil {
		size = m.Whole.Size
	}
	// The length is stated, so that a reader sees when the store gave out in the middle.
	c.DataFromReader(http.StatusOK, size, m.Raw.Type, r, map[string]string{"Cache-Control": "no-store"})
}

// deliveryParams are what the list of deliveries can be narrowed by: none of it is patient data.
var deliveryParams = map[string]bool{"state": true, "to": true, "case": true, "limit": true}

func (a *Admin) listDeliveries(c *gin.Context) {
	params := c.Request.URL.Query()
	for name := range params {
		if !deliveryParams[name] {
			refuse(c, issue.New(issue.Structure, "", "deliveries are narrowed by state, to, case and limit"))
			return
		}
	}
	q := flow.DeliveryQuery{State: flow.State(params.Get("state")), To: params.Get("to")}
	var err error
	if params.Has("case") {
		q.Case, err = flow.ParseID(params.Get("case"))
	}
	if params.Has("limit") && err == nil {
		q.Limit, err = strconv.Atoi(params.Get("limit"))
	}
	if err != nil || q.Limit < 0 || q.Limit > 1000 {
		refuse(c, issue.New(issue.Value, "", "case is a UUID, limit a number from 1 to 1000"))
		return
	}
	ds, err := a.Messages.Deliveries(c.Request.Context(), q)
	if err != nil {
		refuse(c, missing(err, "delivery"))
		return
	}
	send(c, http.StatusOK, "application/json", gin.H{"deliveries": viewDeliveries(ds)})
}
