package flow

import (
	"context"
	"errors"
	"time"
)

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

// Counter tells how much there is to do, without reading all of it.
type Counter interface {
	Backlog(ctx context.Context, to string) (Backlog, error)
}

// Backlog is what a destination has to do yet.
type Backlog struct {
	Open         int       // deliveries that are waiting or claimed
	Oldest       time.Time // when the oldest of them was made; zero: there is none
	Parked       int
	OldestParked time.Time
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

// ActPruner lets go of what a store remembers of acts, so that one pressed twice acts once: after so long nobody presses it
// again. Who decided what stays in the audit log.
type ActPruner interface {
	// PruneActs removes, of one page, acts that were decided longer than Old.Age ago, and gives where to go on: "" at the end.
	PruneActs(ctx context.Context, o Old) (string, error)
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
	Counter
	Storyteller
	Operator
	Pruner
	ActPruner
	Marks
	Health(ctx context.Context) error // nil, or why messages cannot be kept now
	Close() error
}
