package redis

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/dermgate/dermgate/gateway/flow"
)

// fixed gives the keys of a partition that every script is given, in the order of lua/lib.lua:
//
//	idem      hash    hash of the slot's key → 'b', digest, id of the message, 16 bytes each
//	applied   set     hashes of Change.Applied
//	message   hash    id → flow.Message, packed with its inline bytes (pack.go)
//	body      hash    id of a message or delivery of layout 1 → its inline bytes
//	case      hash    id → version, token of the write, flow.CaseRecord, packed
//	seq       string  last number of a delivery
//	delivery  hash    id → flow.Delivery as it was put, packed with its inline bytes
//	state     hash    id → what changes about a delivery (delivery.go)
//	queue     zset    destination, 0, lane, 0, number, id; no scores: what waits behind the first of its lane, in order
//	lane      hash    destination, 0, lane → id of the delivery whose turn it is; none where that is the lane's name
//	act       hash    hash of the act's key → flow.Act
//	changed   zset    cases by time of last change
//	open, parked, ended           of layout 2: zsets of deliveries by time they came in, by group of states
//	~open, ~parked, ~ended        of layout 2: the same for internal destinations
//	schema    string  number of the layout (schema.go)
//	clock     string  the latest time that was written down, and by how much it is ahead of the server's (µs)
//	named     hash    id of a case → what leads to it: for each reference its partition (1 byte) and its hash (16 bytes)
//	places    set     destinations that deliveries were put to
//
// In sorted sets an id is its 16 bytes; in layout 2 it was text, and an entry of then stays so until it changes.
//
// A call is given others beside them, by what it is about:
//
//	story:CASE          list  events that happened together, packed
//	bycase:CASE         zset  deliveries of a case, by time they came in
//	received            zset  messages by time they came in; those of before there was one get their places when retention looks
//	ready:CLASS:TO      zset  lanes of a destination by due time (µs since 1970)
//	open:TO, parked:TO, ended:TO  zsets  deliveries of a destination by time they came in, by group of states
//	org:O               zset  cases by time of last change; one that no longer matches is left out on reading
//	patient:P           zset  the same, by the time they came to it
//	leads               zset  hash of a reference of this partition, id of a case that it may lead to, 16 bytes each; no scores
//	ref:HASH            set   of layout 1: cases a reference may lead to, in the partition of the reference
//	refs:CASE           set   further references that do lead to this case: those that a destination named, each its partition
//	                          and hash in hex, and those of layout 1, each its hash
//	paused              hash  destination → flow.Act, in partition 0
//	marks:KIND          hash  name → number, in partition 0
//	gate:TO             hash  what all replicas know of a destination (lua/enter.lua), in partition 0
//	busy:TO             zset  permits of deliveries under way, by when they run out, in partition 0
//	failing:TO          set   lanes that failed since the destination last answered, in partition 0
//	health, wait        string  written to see that writing works, and that replicas follow
func fixed(p int) []string {
	names := []string{"idem", "applied", "message", "body", "case", "seq", "delivery", "state", "queue", "lane", "act", "changed",
		"open", "parked", "ended", "~open", "~parked", "~ended", "schema", "clock",
		"named", "places"}
	for i, n := range names {
		names[i] = key(p, n)
	}
	return names
}

// key of a partition: dermgate:{p07}:story:….
func key(p int, parts ...string) string {
	return fmt.Sprintf("dermgate:{p%02d}:%s", p, strings.Join(parts, ":"))
}

// ready gives the two sets of a destination's lanes, urgent and routine.
func ready(p int, to string) []string {
	return []string{key(p, "ready", "0", to), key(p, "ready", "1", to)}
}

// groups of states.
const (
	open   = "open"
	parked = "parked"
	ended  = "ended"
)

// destination gives the keys of a destination, as place() in lua/lib.lua reads them.
func destination(p int, to string) []string {
	return append(ready(p, to), key(p, open, to), key(p, parked, to), key(p, ended, to))
}

// idOf reads an id that stands in a sorted set.
func idOf(member string) (flow.ID, error) {
	if len(member) == len(flow.ID{}) {
		return flow.ID([]byte(member)), nil
	}
	return flow.ParseID(member)
}

// refKey gives the set in which layout 1 kept the cases that a reference may lead to.
func refKey(p int, hash string) string { return key(p, "ref", hex.EncodeToString([]byte(hash))) }

// namedKey gives the set of references that lead to a case whatever becomes of the change they came with.
func namedKey(id flow.ID) string { return key(id.Partition(), "refs", id.String()) }

// refHash gives the 16 bytes that a reference is known by in its partition.
func refHash(r flow.Ref) string {
	sum := sha256.Sum256([]byte(r.System + "\x1f" + r.Value))
	return string(sum[:16])
}

// leadsTo is the place that says that a reference may lead to a case.
func leadsTo(r flow.Ref, to flow.ID) place {
	return place{key(r.Partition(), "leads"), refHash(r) + string(to[:]), r.Partition(), true}
}

// refName gives what the case keeps of a reference: its partition, one byte, and its hash.
func refName(r flow.Ref) string { return string([]byte{byte(r.Partition())}) + refHash(r) }

// refNames divides what a case keeps of its references.
func refNames(kept string) (out []string) {
	for ; len(kept) >= 17; kept = kept[17:] {
		out = append(out, kept[:17])
	}
	return out
}

// hashed makes a name of fixed length out of texts that come from messages.
func hashed(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x1f")))
	return hex.EncodeToString(sum[:16])
}
