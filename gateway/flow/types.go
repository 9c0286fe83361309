// Package flow is the one-way path of a message and its vocabulary: a source hands over what it Received,
// it is Translated, decided on, kept as a Change, and its Deliveries go out. The words here are the ones
// that sources, destinations and stores share.
package flow

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"time"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Partitions is the number of store partitions, {p00} to {p63}: all that one write must commit together
// lives in one of them.
const Partitions = 64

// ID names a message, a case or a delivery. It is derived (SHA-1, as UUIDv5), never random, so that the
// same input gives the same ids; its first byte is the partition it lives in.
type ID [16]byte

// NewID derives an id inside a partition from the parts that make it unique.
func NewID(partition int, parts ...string) ID {
	id := hash(parts)
	id[0] = byte(partition % Partitions)
	return id
}

// PartitionOf gives the partition of a key, such as an idempotency key or a cross-reference.
func PartitionOf(parts ...string) int { h := hash(parts); return int(h[0]) % Partitions }

func hash(parts []string) ID {
	h := sha1.New()
	h.Write([]byte("dermgate"))
	for _, p := range parts {
		h.Write([]byte{0x1f})
		h.Write([]byte(p))
	}
	var id ID
	copy(id[:], h.Sum(nil))
	id[6] = id[6]&0x0f | 0x50 // version 5
	id[8] = id[8]&0x3f | 0x80 // RFC 9562 variant
	return id
}

// Partition tells where the id lives.
func (id ID) Partition() int { return int(id[0]) % Partitions }

// IsZero tells an unset id.
func (id ID) IsZero() bool { return id == ID{} }

// String gives the id as a UUID.
func (id ID) String() string {
	b := make([]byte, 36)
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b)
}

// ErrID is returned for a text that is no ID.
var ErrID = errors.New("not an id: want a UUID such as 07c1d2e3-…")

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, ErrID
	}
	b, err := hex.DecodeString(s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:36])
	if err != nil {
		return id, ErrID
	}
	copy(id[:], b)
	return id, nil
}

// MarshalText writes the UUID form, empty when unset.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText reads the UUID form.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	v, err := ParseID(string(b))
	*id = v
	return err
}

// Format is the language of a message.
type Format string

const (
	HL7v2  Format = "hl7v2"   // ER7
	FHIRR4 Format = "fhir-r4" // JSON
	Notify Format = "notify"  // an NHS Notify callback, JSON
)

// Subject is who stands behind a connection, as the listener knows it: never taken from the message.
type Subject struct {
	Organisation string `json:"organisation,omitempty"` // ODS code the source or certificate is bound to
	Name         string `json:"name,omitempty"`         // certificate name, token subject or peer address
	Token        string `json:"-"`                      // a user's bearer token for onward use; never stored
}

// Received is what a source hands over: raw bytes and where they came from.
type Received struct {
	Source    string // configured name of the source
	Subject   Subject
	At        time.Time
	Format    Format
	Raw       []byte
	RequestID string // X-Request-ID of an HTTP sender; empty: taken from the message
	Lifted    []Part // payloads that are not in Raw: a token stands in the place of each
	Whole     *Whole // the message as it came, when something was lifted
}

// Whole is a message with its payloads in their places.
type Whole struct {
	SHA256 string `json:"sha256"` // hex
	Size   int64  `json:"size"`   // bytes
}

// Ref is an identifier that may come back and must lead to a case.
type Ref struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

// Partition of a cross-reference.
func (r Ref) Partition() int { return PartitionOf("xref", r.System, r.Value) }

// BodyRef is where bytes are: inline when small, in the blob store when large.
type BodyRef struct {
	Inline []byte `json:"inline,omitempty"`
	Blob   string `json:"blob,omitempty"` // object name in the blob store
	SHA256 string `json:"sha256"`         // hex, of the plain bytes
	Size   int64  `json:"size"`           // bytes
	Type   string `json:"type"`           // media type
}

// Idem is the idempotency slot of a message: who sent it under which control id, and what exactly.
type Idem struct {
	Key    string `json:"key"`    // source, MSH-3, MSH-4, MSH-10 (FHIR: source, client, X-Request-ID or Bundle.identifier), joined by 0x1f
	Digest string `json:"digest"` // hex SHA-256 of the bytes that count (those the source's repeat rule ignores left out)
}

// Partition of the slot; a new case is born in it.
func (i Idem) Partition() int { return PartitionOf("idem", i.Key) }

// Receipt is the first answer to a message, given again to every repeat.
type Receipt struct {
	Message ID         `json:"message"`
	Case    ID         `json:"case,omitzero"`
	Answer  []byte     `json:"answer"`         // the ACK or response, byte for byte
	Answers [][]byte   `json:"-"`              // set on receiving a batch: one acknowledgement a message, in order, or one batch acknowledgement; Answer is then empty
	Type    string     `json:"type,omitempty"` // media type of Answer
	Refused bool       `json:"refused,omitempty"`
	Kind    issue.Kind `json:"kind,omitempty"` // of the worst issue, when refused: HTTP boundaries choose their status by it
	Repeat  bool       `json:"-"`              // set on reading: this was a repeat
	Unkept  bool       `json:"-"`              // set on receiving a batch: its last messages were not kept; sent again, it repeats the others and goes on
}

// Message is a message as it is kept.
type Message struct {
	ID      ID        `json:"id"`
	Case    ID        `json:"case,omitzero"`
	Also    []ID      `json:"also,omitempty"` // further cases it is about: a merge of records
	Source  string    `json:"source"`
	Subject Subject   `json:"subject"`
	At      time.Time `json:"at"`
	Format  Format    `json:"format"`
	// RequestID the sender gave beside the message (X-Request-ID).
	RequestID string         `json:"requestId,omitempty"`
	Raw       BodyRef        `json:"raw"`
	Lifted    []Part         `json:"lifted,omitempty"`
	Whole     *Whole         `json:"whole,omitempty"`
	Facts     []byte         `json:"facts,omitempty"` // JSON of flow.Facts
	Issues    []*issue.Issue `json:"issues,omitempty"`
	Maps      string         `json:"maps,omitempty"` // digest of the map set in force when it came, which read it
	Loss
	Receipt Receipt `json:"receipt"`
	Idem    Idem    `json:"idem"`
}

// Loss is what the maps made of the valued leaves of an HL7 v2 message: how many, and where those are that no
// rule carries and none ignores. Places only, never values.
type Loss struct {
	Leaves   *mapping.Count `json:"leaves,omitempty"`   // nil for what is not mapped
	Unmapped []string       `json:"unmapped,omitempty"` // in their order; the first mostUnmapped
}

// Event is one line of a case's story. Text holds no patient data.
type Event struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`           // "received", "state", "delivered", "retry", "parked", "answered", "acknowledged", "refused", "told", "act"
	Text string    `json:"text,omitempty"` // for a person
	Ref  string    `json:"ref,omitempty"`  // id of the message, delivery or task it is about
}

// CaseRecord is a case as the store sees it: opaque state with a version.
type CaseRecord struct {
	ID      ID        `json:"id"`
	Version int64     `json:"version"` // 1 for the first
	State   []byte    `json:"state"`   // JSON of pathway.Case
	Index   CaseIndex `json:"index"`
}

// CaseIndex is what cases are searched by. Patient is a keyed hash, never an NHS number.
type CaseIndex struct {
	Kind         string    `json:"kind"`
	State        string    `json:"state"`
	Urgency      string    `json:"urgency,omitempty"`
	Organisation string    `json:"organisation,omitempty"` // who asked (ODS)
	Performer    string    `json:"performer,omitempty"`    // who was asked (ODS)
	Patient      string    `json:"patient,omitempty"`
	Opened       time.Time `json:"opened"`
	Changed      time.Time `json:"changed"`
	Ended        bool      `json:"ended,omitempty"`
}

// CaseChange is a new version of a case. The store refuses it with ErrStale unless the version it holds
// is Record.Version-1 (0: none yet).
type CaseChange struct {
	Record CaseRecord `json:"record"`
	Story  []Event    `json:"story,omitempty"`
}

// Change is everything one accepted message, settled delivery or act changes: kept all or none.
// Everything but Refs lives in one partition (that of Partition); Refs are written before the rest and
// one left dangling by a crash is ignored on reading.
//
// Three forms: a new case (Idem, Message, Case version 1, …); a follow-up (Idem, Message, and a delivery
// to ToCase as the work item); the work item or delivery applied (Applied, Case version n+1, …).
type Change struct {
	Idem       *Idem       `json:"idem,omitempty"`
	Message    *Message    `json:"message,omitempty"`
	Applied    string      `json:"applied,omitempty"` // applied at most once in this partition: a repeat is a no-op
	Case       *CaseChange `json:"case,omitempty"`
	Refs       []Ref       `json:"refs,omitempty"` // lead to Case
	Deliveries []Delivery  `json:"deliveries,omitempty"`
}

// Partition the change is committed in: the message's when it is kept by this change, else the case's.
func (c Change) Partition() int {
	switch {
	case c.Idem != nil:
		return c.Idem.Partition()
	case c.Case != nil:
		return c.Case.Record.ID.Partition()
	case c.Message != nil:
		return c.Message.ID.Partition()
	case len(c.Deliveries) > 0:
		return c.Deliveries[0].ID.Partition()
	}
	return 0
}

// Internal destinations, so that work items, timers and photos share the lanes, leases and retries of deliveries.
const (
	ToCase   = "~case"   // a follow-up waiting to be applied to its case
	ToClock  = "~clock"  // a timer: Due is when it fires; Note tells what for
	ToPhotos = "~photos" // photos of a case that are made to fit a destination; Note tells what waits for it
	ToAlarm  = "~alarm"  // what the webhook is told; Note has it
	ToPrune  = "~prune"  // the one that removes what was kept long enough
)

// Class of a lane: a lower one is claimed first.
const (
	ClassUrgent  = 0 // suspected cancer, and messages whose urgency is unknown
	ClassRoutine = 1
)

// Step is one durable part of a delivery that takes several calls: what was done and what it gave.
type Step struct {
	Name string            `json:"name"` // "A020:<sha256>", "A044"
	At   time.Time         `json:"at"`
	Data map[string]string `json:"data,omitempty"` // "location": "Binary/…"
}

// State of a delivery.
type State string

const (
	Waiting   State = "waiting"   // in its lane, due at Due
	Claimed   State = "claimed"   // leased to a worker until Due
	Done      State = "done"      // the other side took it
	Parked    State = "parked"    // a person decides
	Discarded State = "discarded" // a person decided
)

// Delivery is one thing to send to one destination.
type Delivery struct {
	ID      ID           `json:"id"`
	Case    ID           `json:"case,omitzero"`
	Message ID           `json:"message,omitzero"` // the message that caused it
	Parent  ID           `json:"parent,omitzero"`  // replayed or translated again from
	To      string       `json:"to"`               // destination name, ToCase or ToClock
	Lane    string       `json:"lane"`             // order is kept within (To, Lane); the case id, or a keyed hash of the patient
	Class   int          `json:"class"`            // ClassUrgent or ClassRoutine
	Key     string       `json:"key"`              // outbound idempotency key: MSH-10, X-Request-ID or messageReference; never changes
	What    string       `json:"what"`             // "referral", "advice-request", "answer", "outcome", "notice:N1", "poll", …
	Maps    string       `json:"maps,omitempty"`   // digest of the map set that it was translated and rendered with
	Body    BodyRef      `json:"body"`
	Parts   []BodyRef    `json:"parts,omitempty"` // photos and documents the destination sends along, in order
	Note    string       `json:"note,omitempty"`  // small data of internal work: timer purpose, poll cursor
	State   State        `json:"state"`
	Attempt int          `json:"attempt"` // attempts begun, this one included when claimed
	Due     time.Time    `json:"due"`
	Steps   []Step       `json:"steps,omitempty"`
	Cause   *issue.Issue `json:"cause,omitempty"` // why it was last put back or parked
	Unfit   *Unfit       `json:"unfit,omitempty"` // not to be sent as it is
	Fence   int64        `json:"fence,omitempty"` // lease counter: a worker with an older one writes nothing
	Created time.Time    `json:"created"`
}

// Unfit says why a destination would not take a delivery: it is parked unsent, for a person to redirect to one
// that does, or to discard.
type Unfit struct {
	To    string       `json:"to"`
	Cause *issue.Issue `json:"cause"`
}

// Result of an attempt.
type Result string

const (
	Delivered Result = "delivered" // done
	Retry     Result = "retry"     // transient: again at After (0: the dispatcher's backoff)
	Again     Result = "again"     // nothing wrong: a poll or timer that is due again After; no attempt counted
	Refused   Result = "refused"   // permanent: park with the cause
	Unknown   Result = "unknown"   // sent, no answer, and the other side has no idempotency key: park for `resolve`
)

// Outcome is what a destination makes of a delivery. A Destination never decides how long to back off:
// it says Retry, and After only where the other side asked for a time.
type Outcome struct {
	Result  Result
	After   time.Duration
	Cause   *issue.Issue      // for Retry, Refused, Unknown
	Refs    []Ref             // identifiers the other side gave: lead back to the case
	Facts   map[string]string // channel facts for the case: "ubrn", "ers-request-id", "status", …
	Replies []Received        // what came back, to be accepted as any other message before the delivery is settled
	Note    string            // replaces Delivery.Note when Again
	Change  *Change           // set by the dispatcher's owner: committed together with the settlement
	Due     time.Time         // set by the dispatcher for Retry and Again
	Untried bool              // set by the dispatcher: the destination was not called
	Hold    bool              // set by the dispatcher: what is parked holds its lane until a person has decided
}

// Errors of the store. ErrStale: decide again. ErrLease: the lease is lost, write nothing more.
// ErrConflict: this control id was accepted with other bytes. ErrUnavailable: the store cannot keep now.
var (
	ErrStale       = errors.New("flow: decided on a stale version")
	ErrLease       = errors.New("flow: lease lost")
	ErrConflict    = errors.New("flow: same control id, other bytes")
	ErrNotFound    = errors.New("flow: not found")
	ErrUnavailable = errors.New("flow: store unavailable")
)

// Accept hands a message to the gateway. A nil error means the receipt's answer may be sent: the message
// is kept (or, when Receipt.Refused, the refusal is recorded). An error means nothing was kept; when it
// wraps ErrUnavailable the sender should try again.
type Accept func(ctx context.Context, r Received) (Receipt, error)

// Source takes messages in until ctx ends, then finishes what it has begun and returns nil.
type Source interface {
	Serve(ctx context.Context, accept Accept) error
}

// Destination sends one delivery. save keeps a step durably before the next call is made. The error is
// for a step that could not be saved (lease lost, store down): the attempt is then abandoned unsettled.
type Destination interface {
	Deliver(ctx context.Context, d Delivery, save func(Step) error) (Outcome, error)
}

// Queue keeps changes and hands out deliveries.
type Queue interface {
	// Put commits c, all or none. A repeat of an accepted Idem gives the first Receipt with Repeat set and
	// changes nothing; other bytes give ErrConflict; a stale Case gives ErrStale; an Applied seen before
	// changes nothing.
	Put(ctx context.Context, c Change) (Receipt, error)
	// Claim leases up to n due deliveries of a destination: the head of each lane only, urgent class first.
	Claim(ctx context.Context, to string, n int, lease time.Duration) ([]Delivery, error)
	// Settle ends an attempt, fenced by the lease (ErrLease), with o.Change in the same commit (ErrStale:
	// nothing was settled, decide again). Retry and Again keep the head of the lane in its place.
	Settle(ctx context.Context, d Delivery, o Outcome) error
}

// Express claims as Queue does, urgent lanes alone.
type Express interface {
	ClaimUrgent(ctx context.Context, to string, n int, lease time.Duration) ([]Delivery, error)
}

// Leases looks after a claimed delivery: both are fenced and give ErrLease.
type Leases interface {
	SaveStep(ctx context.Context, d Delivery, s Step) error
	Renew(ctx context.Context, d Delivery, lease time.Duration) error
}

// Reader reads what was kept; ErrNotFound when it was not.
type Reader interface {
	Receipt(ctx context.Context, i Idem) (Receipt, error) // ErrConflict when the digest differs
	Case(ctx context.Context, id ID) (CaseRecord, error)
	Message(ctx context.Context, id ID) (Message, error)
}

// Finder finds cases and deliveries.
type Finder interface {
	Find(ctx context.Context, r Ref) ([]ID, error) // cases a cross-reference leads to, dangling ones left out
	Cases(ctx context.Context, q CaseQuery) ([]CaseRecord, error)
	Deliveries(ctx context.Context, q DeliveryQuery) ([]Delivery, error)
}

// Storyteller reads a case's story, oldest first.
type Storyteller interface {
	Story(ctx context.Context, id ID) ([]Event, error)
}

// CaseQuery selects cases; empty fields match all. Newest change first.
type CaseQuery struct {
	Patient, Organisation, Kind, State string
	Open                               bool // only those not ended
	Limit                              int  // 0: 100
}

// DeliveryQuery selects deliveries; empty fields match all. Oldest first. Internal ones (ToCase, ToClock)
// only when To names them.
type DeliveryQuery struct {
	ID    ID
	Case  ID
	To    string
	State State
	All   bool // of Case: internal ones too
	Limit int  // 0: 100
}

// Act is what a person decides about a delivery or destination: recorded with who and why.
type Act struct {
	Verb   string // "replay", "discard", "resolve", "redirect", "pause", "resume"
	ID     ID     // the delivery
	To     string // the destination, for redirect, pause, resume
	Person string // verified identity
	Reason string
	Step   *Step  // for replay: a step to be added first (what a person found out about an unknown create)
	Key    string // idempotency key of the act: pressed twice, it acts once
	At     time.Time

	After time.Duration // for replay: due so much later, so that many come one after another
	Child *Delivery     // for replay and redirect: takes the place of the parked one, which is discarded
	Refs  []Ref         // lead to the case of the Child
}

// Operator carries out acts. Replay puts a parked delivery back in its lane with the same bytes and key;
// resolve settles an unknown one as done; redirect re-aims a parked one. With a Child the parked one is discarded and the
// child takes its place in the order of its lane, in one commit.
type Operator interface {
	Act(ctx context.Context, a Act) error
	Refuse(ctx context.Context, m Message) error // record a refused message; it takes no idempotency slot
	Paused(ctx context.Context) (map[string]bool, error)
}

// Pruner finds what is old and lets go of it.
type Pruner interface {
	// OldCases gives cases whose last change is older than Old.Age, in no order, and where to go on: "" at the end.
	OldCases(ctx context.Context, o Old) ([]CaseRecord, string, error)
	// OldMessages gives messages that came longer than Old.Age ago, without their bytes; as OldCases.
	OldMessages(ctx context.Context, o Old) ([]Message, string, error)
	// Prune removes things of one partition, all or none; what is gone already is no error. ErrStale: the case
	// has changed, or a delivery of it or among those named is not settled; decide again.
	Prune(ctx context.Context, r Remains) error
}

// Old asks for what is older than Age by the store's clock, a page of Limit at a time.
type Old struct {
	Age   time.Duration
	After string // what the page before gave; "": from the beginning
	Limit int    // 0: 100
}

// Remains are what Prune removes, with all that hangs on it: of a case its story, its cross-references and
// the places where it is found; of a message its bytes and its idempotency slot; of a delivery its bytes.
type Remains struct {
	Case       *CaseRecord // as it was read
	Messages   []Message
	Deliveries []ID     // each done or discarded
	Applied    []string // marks of Change.Applied
}

// Marks are small numbers that replicas share: how often an alarm was opened and closed, when a source was last heard.
type Marks interface {
	// Marks gives those of a kind by name.
	Marks(ctx context.Context, kind string) (map[string]int64, error)
	// Mark sets one from what it is (0 when there is none) to another; ErrStale when it is something else by now. From a
	// negative number it is set when it is then greater than before.
	Mark(ctx context.Context, kind, name string, from, to int64) error
}

// Store is all of it; adapters/bolt and adapters/redis are the two.
type Store interface {
	Queue
	Express
	Leases
	Reader
	Finder
	Storyteller
	Operator
	Pruner
	Marks
	Health(ctx context.Context) error // nil, or why messages cannot be kept now
	Close() error
}
