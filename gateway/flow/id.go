package flow

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
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
