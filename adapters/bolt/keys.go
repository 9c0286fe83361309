package bolt

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Buckets. n is a number of the file's one sequence (8 bytes, big-endian): it orders by time.
const (
	bMeta       = "meta"       // schema, health, clock; owns the sequence
	bIDs        = "ids"        // kind, id → n
	bIdem       = "idem"       // hash of the slot's key → digest, n of the message
	bRefs       = "refs"       // hash of the reference, case id → nothing
	bNamed      = "named"      // n of the case, n → hashes of references, one after another: what leads to the case
	bApplied    = "applied"    // hash of Change.Applied → nothing
	bMessages   = "messages"   // n → flow.Message without inline bytes
	bCases      = "cases"      // n → flow.CaseRecord
	bCasesBy    = "casesby"    // what, value, 0, time of change, n → nothing
	bStory      = "story"      // n of the case, n → flow.Event
	bDeliveries = "deliveries" // n → entry (a flow.Delivery without inline bytes)
	bBodies     = "bodies"     // n of a message or delivery → inline bytes
	bByCase     = "bycase"     // case id, n of a delivery → nothing
	bListed     = "listed"     // destination, 0, letter of the state, n → nothing
	bLanes      = "lanes"      // destination, 0, lane, 0, n → due: what waits, in order, behind the head
	bHeads      = "heads"      // destination, 0, lane → head
	bDue        = "due"        // destination, 0, class, due, lane → nothing: one for each lane, about its head
	bActs       = "acts"       // hash of the act's key → flow.Act
	bPaused     = "paused"     // destination → flow.Act
	bMarks      = "marks"      // kind, name → number
	bLate       = "late"       // n → entries that have not moved to their bucket yet (late.go)
)

var buckets = []string{bMeta, bIDs, bIdem, bRefs, bNamed, bApplied, bMessages, bCases, bCasesBy, bStory, bDeliveries, bBodies,
	bByCase, bListed, bLanes, bHeads, bDue, bActs, bPaused, bMarks, bLate}

// Kinds of id in bIDs.
const (
	kMessage  = 'm'
	kCase     = 'c'
	kDelivery = 'd'
)

// key joins parts; a text is followed by a zero byte, so that none is the beginning of another.
func key(parts ...any) []byte {
	var k []byte
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			k = append(append(k, p...), 0)
		case []byte:
			k = append(k, p...)
		case flow.ID:
			k = append(k, p[:]...)
		case byte:
			k = append(k, p)
		case rune:
			k = append(k, byte(p))
		case int64:
			k = binary.BigEndian.AppendUint64(k, uint64(p))
		}
	}
	return k
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// tail gives the number that ends a key.
func tail(k []byte) []byte { return k[len(k)-8:] }

// refSize is the length of a hashed key.
const refSize = 16

// hashed makes a key of fixed length out of texts that come from messages.
func hashed(parts ...string) []byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x1f")))
	return sum[:refSize]
}

// letters of the states in bListed.
var letters = map[flow.State]byte{flow.Waiting: 'w', flow.Claimed: 'c', flow.Parked: 'p', flow.Done: 'd', flow.Discarded: 'x'}

func listed(d flow.Delivery, n []byte) []byte { return key(d.To, letters[d.State], n) }
