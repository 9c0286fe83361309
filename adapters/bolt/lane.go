package bolt

import (
	"bytes"
	"encoding/binary"

	"github.com/dermgate/dermgate/gateway/flow"
)

// entry is a delivery as it is kept.
type entry struct {
	flow.Delivery
	Ended int64 `json:"ended,omitempty"` // fence of the last settled attempt: a second settlement of it is a no-op
	Held  bool  `json:"held,omitempty"`  // parked, and holds its lane
}

// head is what a lane is doing now: the delivery whose turn it is. While it is claimed nothing takes its
// place, not even an earlier one that comes back (a replay).
type head struct {
	class   byte // the most urgent of all that entered since the lane was last empty
	claimed bool
	due     int64 // ns since 1970; the lease's end when claimed
	n       []byte
}

func (h head) bytes() []byte {
	b := []byte{h.class, 0}
	if h.claimed {
		b[1] = 1
	}
	return append(binary.BigEndian.AppendUint64(b, uint64(h.due)), h.n...)
}

func (t *txn) head(to, lane string) (head, bool) {
	b := t.get(bHeads, key(to, lane))
	if b == nil {
		return head{}, false
	}
	return head{class: b[0], claimed: b[1] == 1, due: int64(binary.BigEndian.Uint64(b[2:])), n: bytes.Clone(b[10:])}, true
}

// turn makes h the head of the lane, or empties the lane when h is nil.
func (t *txn) turn(to, lane string, h *head) {
	if old, ok := t.head(to, lane); ok {
		t.del(bDue, key(to, old.class, old.due, []byte(lane)))
	}
	if h == nil {
		t.del(bHeads, key(to, lane))
		return
	}
	t.put(bHeads, key(to, lane), h.bytes())
	t.put(bDue, key(to, h.class, h.due, []byte(lane)), nil)
}

// push puts a delivery in its lane, at the place that its number gives it.
func (t *txn) push(e entry, n []byte, due int64) {
	h, ok := t.head(e.To, e.Lane)
	switch {
	case !ok:
		h = head{class: byte(e.Class), due: due, n: n}
	case !h.claimed && bytes.Compare(n, h.n) < 0:
		t.queue(e, h.n, h.due)
		h.due, h.n = due, n
	default:
		t.queue(e, n, due)
	}
	h.class = min(h.class, byte(e.Class))
	t.turn(e.To, e.Lane, &h)
}

// pull takes a delivery out of its lane; when it was the head the next one's turn comes, not before now: a lane that has
// had its turn goes behind those that wait for theirs.
func (t *txn) pull(e entry, n []byte) {
	t.del(bLanes, key(e.To, e.Lane, n))
	h, ok := t.head(e.To, e.Lane)
	if !ok || !bytes.Equal(h.n, n) {
		return
	}
	next, due := t.behind(e, n)
	if next == nil {
		t.turn(e.To, e.Lane, nil)
		return
	}
	t.del(bLanes, key(e.To, e.Lane, next))
	t.turn(e.To, e.Lane, &head{class: h.class, due: max(t.now, due), n: next})
}

// queue puts a delivery behind the head of its lane.
func (t *txn) queue(e entry, n []byte, due int64) {
	t.put(bLanes, key(e.To, e.Lane, n), number(uint64(due)))
}

// behind gives the first behind the head of a lane, and when it is due; nil when there is none.
func (t *txn) behind(e entry, head []byte) (n []byte, due int64) {
	for k, v := range t.under(bLanes, key(e.To, e.Lane)) {
		if !bytes.Equal(tail(k), head) {
			return bytes.Clone(tail(k)), int64(binary.BigEndian.Uint64(v))
		}
	}
	return nil, 0
}

// enqueue keeps a new delivery. One that is known by its id is left as it is.
func (t *txn) enqueue(d flow.Delivery) {
	if t.get(bIDs, key(kDelivery, d.ID)) != nil {
		return
	}
	t.enqueueAt(d, t.next())
}

// enqueueAt keeps a new delivery under a number, which gives it its place in its lane.
func (t *txn) enqueueAt(d flow.Delivery, n []byte) {
	t.put(bIDs, key(kDelivery, d.ID), n)
	t.body(n, d.Body.Inline)
	due := t.now + int64(d.Delay())
	d.Body.Inline, d.State, d.Due = nil, flow.Waiting, at(due)
	e := entry{Delivery: d}
	t.save(e, n)
	t.put(bListed, listed(d, n), nil)
	if !d.Case.IsZero() {
		t.put(bByCase, key(d.Case, n), nil)
	}
	t.push(e, n, due)
}

func (t *txn) save(e entry, n []byte) { t.putJSON(bDeliveries, n, e) }

// move saves a changed delivery and lists it where it now belongs.
func (t *txn) move(old, e entry, n []byte) {
	t.del(bListed, listed(old.Delivery, n))
	t.put(bListed, listed(e.Delivery, n), nil)
	t.save(e, n)
}

// delivery reads a delivery, without its inline bytes, and its number.
func (t *txn) delivery(id flow.ID) (entry, []byte, error) {
	n := bytes.Clone(t.get(bIDs, key(kDelivery, id)))
	if n == nil {
		return entry{}, nil, flow.ErrNotFound
	}
	var e entry
	err := t.load(bDeliveries, n, &e)
	return e, n, err
}
