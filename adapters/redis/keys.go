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
//	idem      hash    hash of the slot's key → digest, space, first receipt
//	applied   set     hashes of Change.Applied
//	message   hash    id → flow.Message without inline bytes
//	body      hash    id of a message or delivery → its inline bytes, packed (body.go)
//	case      hash    id → version, token of the write, flow.CaseRecord
//	seq       string  last number of a delivery
//	delivery  hash    id → flow.Delivery as it was put, without inline bytes
//	state     hash    id → what changes about a delivery (delivery.go)
//	queue     zset    destination, 0, lane, 0, number, id; no scores: the lanes, each in order
//	lane      hash    destination, 0, lane → class, due, whether claimed, id of the delivery whose turn it is
//	act       hash    hash of the act's key → flow.Act
//	changed   zset    cases by time of last change
//	open, parked, ended           zsets of deliveries by time they came in, by group of states
//	~open, ~parked, ~ended        the same for internal destinations
//	schema    string  number of the layout (schema.go)
//
// A call is given others beside them, by what it is about:
//
//	story:CASE          list  flow.Event
//	bycase:CASE         zset  deliveries of a case, by time they came in
//	received            zset  messages by time they came in; those of before there was one get their places when retention looks
//	ready:CLASS:TO      zset  lanes of a destination by due time (µs since 1970)
//	patient:P, org:O    zset  cases by time of last change; one that no longer matches is left out on reading
//	ref:HASH            set   cases a reference may lead to, in the partition of the reference
//	refs:CASE           set   hashes of the references that do lead to this case
//	paused              hash  destination → flow.Act, in partition 0
//	marks:KIND          hash  name → number, in partition 0
//	gate:TO             hash  what all replicas know of a destination (lua/enter.lua), in partition 0
//	busy:TO             zset  permits of deliveries under way, by when they run out, in partition 0
//	failing:TO          set   lanes that failed since the destination last answered, in partition 0
//	health, wait        string  written to see that writing works, and that replicas follow
func fixed(p int) []string {
	names := []string{"idem", "applied", "message", "body", "case", "seq", "delivery", "state", "queue", "lane", "act", "changed",
		"open", "parked", "ended", "~open", "~parked", "~ended", "schema"}
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

func refKey(r flow.Ref) string { return key(r.Partition(), "ref", hashed(r.System, r.Value)) }

func namedKey(id flow.ID) string { return key(id.Partition(), "refs", id.String()) }

// hashed makes a name of fixed length out of texts that come from messages.
func hashed(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x1f")))
	return hex.EncodeToString(sum[:16])
}
