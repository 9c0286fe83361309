// Package flow is the one-way path of a message and its vocabulary: a source hands over what it Received,
// it is Translated, decided on, kept as a Change, and its Deliveries go out. The words here are the ones
// that sources, destinations and stores share.
package flow

import (
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Format is the language of a message.
type Format string

const (
	HL7v2  Format = "hl7v2"   // ER7
	FHIRR4 Format = "fhir-r4" // JSON
	Notify Format = "notify"  // an NHS Notify callback, JSON
	MESH   Format = "mesh"    // what comes back by MESH about a message that went out: Mail, JSON
)

// Subject is who stands behind a connection, as the listener knows it: never taken from the message.
type Subject struct {
	Organisation string `json:"organisation,omitempty"` // ODS code the source or certificate is bound to
	Name         string `json:"name,omitempty"`         // certificate name, token subject or peer address
	Token        string `json:"-"`                      // CIS2 ID token of the user who has signed in there, for onward use; never stored
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
	ForUser      bool      `json:"forUser,omitempty"` // something of it is held until a user signs in

	Work pathway.Work `json:"work,omitzero"` // what people had to do beyond asking and answering
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
	ToDigest = "~digest" // the one that tells each owner once a day of what may wait for it
)

// Own names all internal destinations.
func Own() []string { return []string{ToCase, ToPhotos, ToClock, ToAlarm, ToPrune, ToDigest} }

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

	// Of is its case, as it was when it was claimed or since: set on a claim by a store that has it at hand, else when
	// it is first read. What is decided on it is refused by its version when the case has changed.
	Of *CaseRecord `json:"-"`
}

// ForUser is the Where of the cause for which a delivery is held for a user.
const ForUser = "user"

// SignedIn is the Step that tells that a user has signed in for a delivery, somewhere: their token is in the memory of one
// gateway alone.
const SignedIn = "signed-in"

// Held tells a delivery that waits for a user to sign in.
func (d Delivery) Held() bool { return d.State == Parked && d.Cause != nil && d.Cause.Where == ForUser }

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
	Held      Result = "held"      // the other side takes it from a user who has signed in, and none has: park for `release`
)

// Outcome is what a destination makes of a delivery. A Destination never decides how long to back off:
// it says Retry, and After only where the other side asked for a time.
type Outcome struct {
	Result  Result
	After   time.Duration
	Cause   *issue.Issue      // for Retry, Refused, Unknown, Held
	Refs    []Ref             // identifiers the other side gave: lead back to the case
	Facts   map[string]string // channel facts for the case: "ubrn", "ers-request-id", "status", …
	Replies []Received        // what came back, to be accepted as any other message before the delivery is settled
	Note    string            // replaces Delivery.Note when Again
	Change  *Change           // set by the dispatcher's owner: committed together with the settlement
	Due     time.Time         // set by the dispatcher for Retry and Again
	Untried bool              // set by the dispatcher: the destination was not called
	Hold    bool              // set by the dispatcher: what is parked holds its lane until a person has decided
}
