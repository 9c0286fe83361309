package blob

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Keys open the objects of a store, and seal new ones.
type Keys struct {
	Seal [32]byte   // seals new objects, and opens
	Open [][32]byte // open only: those of before a rotation, or that of after it on a replica that comes first
}

// KeyID names a key without telling it: 16 hex digits, as they stand in the header of each object.
func KeyID(key [32]byte) string { return hex.EncodeToString(derive(key).id) }

// ring is what a store's keys open. Beside the objects lies a file, the ring, in which every key that objects may be
// sealed with has a slot. A slot holds two secrets that outlive every rotation, sealed by its key: the one that names
// objects, and the one for searching. So a wrong key shows at the start, and not when a photo is wanted.
type ring struct {
	seal   keys            // of new objects
	open   map[string]keys // by id
	name   []byte
	search []byte

	mu     sync.Mutex
	looked time.Time // when the ring was last seen to have a slot for seal
}

// ringText is the ring as it is kept.
type ringText struct {
	Format string `json:"format"`
	Slots  []slot `json:"slots"`
	Claim  *claim `json:"rotation,omitempty"` // the rotation that is under way
}

type slot struct {
	Key     string `json:"key"`               // hex id
	Retired bool   `json:"retired,omitempty"` // nothing is sealed with it any more
	Sealed  []byte `json:"sealed"`            // nonce, then the secrets
}

const ringFormat = "DGRING1"

// ringEvery is how often it is looked whether a key was retired; a variable for tests.
var ringEvery = 2 * time.Second

// newRing makes a ring of keys, and gives the masters by their ids.
func newRing(k Keys) (*ring, map[string][32]byte) {
	r := &ring{seal: derive(k.Seal), open: map[string]keys{}}
	masters := map[string][32]byte{}
	for _, m := range append([][32]byte{k.Seal}, k.Open...) {
		d := derive(m)
		r.open[string(d.id)], masters[string(d.id)] = d, m
	}
	return r, masters
}

func openRing(ctx context.Context, sh shelf, k Keys) (*ring, error) {
	r, masters := newRing(k)
	b, err := sh.readRing(ctx)
	if err == nil {
		t, err := parseRing(b)
		if err != nil {
			return nil, err
		}
		if err := r.take(t); err != nil {
			return nil, err
		}
		if t.slot(r.seal) != nil {
			return r, nil
		}
	}
	if err != nil && !errors.Is(err, flow.ErrNotFound) {
		return nil, err
	}
	first, err := r.sealer(ctx, sh)
	if err != nil {
		return nil, err
	}
	err = sh.changeRing(ctx, func(b []byte) ([]byte, error) { return r.enter(b, masters[first]) })
	return r, err
}

// enter gives the ring with a slot for the sealing key. A ring that is not there yet has the secrets that an earlier
// version derived from the key.
func (r *ring) enter(b []byte, master [32]byte) ([]byte, error) {
	t := ringText{Format: ringFormat}
	if b == nil {
		r.first(master)
	} else {
		var err error
		if t, err = parseRing(b); err != nil {
			return nil, err
		}
		if err := r.take(t); err != nil {
			return nil, err
		}
	}
	if t.slot(r.seal) == nil {
		t.Slots = append(t.Slots, r.slot())
	}
	return t.text()
}

// first gives a ring that is not there yet its secrets.
func (r *ring) first(master [32]byte) {
	r.name, r.search = expand(master, "dermgate blob naming key", keySize), expand(master, "dermgate patient hash", keySize)
}

// begin gives the ring of a store that has none its secrets, and wants the key of the objects in it.
func (r *ring) begin(ctx context.Context, sh shelf, masters map[string][32]byte) error {
	id, err := r.sealer(ctx, sh)
	if err == nil {
		r.first(masters[id])
	}
	return err
}

func (t ringText) text() ([]byte, error) {
	b, err := json.MarshalIndent(t, "", "  ")
	return append(b, '\n'), err
}

func parseRing(b []byte) (t ringText, err error) {
	if err := json.Unmarshal(b, &t); err != nil || t.Format != ringFormat {
		return t, fmt.Errorf("blob: %s is no key ring of this version: restore it from the backup, with the objects", ringFile)
	}
	return t, nil
}

func (t ringText) slot(k keys) *slot {
	for i := range t.Slots {
		if t.Slots[i].Key == hex.EncodeToString(k.id) {
			return &t.Slots[i]
		}
	}
	return nil
}

func (r *ring) slot() slot {
	nonce := make([]byte, nonceSize)
	rand.Read(nonce) // never fails (crypto/rand since Go 1.24)
	id := hex.EncodeToString(r.seal.id)
	secrets := append(append([]byte(nil), r.name...), r.search...)
	return slot{Key: id, Sealed: r.seal.ring.Seal(nonce, nonce, secrets, []byte(ringFormat+id))}
}

// take opens the ring's secrets, and wants a key for every slot.
func (r *ring) take(t ringText) error {
	var missing []string
	for _, s := range t.Slots {
		id, err := hex.DecodeString(s.Key)
		k, given := r.open[string(id)]
		if err != nil || !given {
			missing = append(missing, s.Key)
			continue
		}
		secrets, err := s.open(k)
		if err != nil {
			return err
		}
		r.name, r.search = secrets[:keySize], secrets[keySize:]
	}
	own := hex.EncodeToString(r.seal.id)
	switch s := t.slot(r.seal); {
	case len(missing) == len(t.Slots):
		return fmt.Errorf("%w: they need key %s, the one given is %s: without theirs no photo can be read", ErrKey, list(missing), own)
	case len(missing) > 0:
		return fmt.Errorf("%w: some need key %s beside %s: give it as an old key until gateway rekey has come to its end", ErrKey, list(missing), own)
	case s != nil && s.Retired:
		return fmt.Errorf("%w: key %s was retired by gateway rekey: seal with the key that took its place", ErrKey, own)
	}
	return nil
}

func list(ids []string) string {
	out := ids[0]
	for _, id := range ids[1:] {
		out += ", " + id
	}
	return out
}

func (s slot) open(k keys) ([]byte, error) {
	if len(s.Sealed) > nonceSize {
		if b, err := k.ring.Open(nil, s.Sealed[:nonceSize], s.Sealed[nonceSize:], []byte(ringFormat+s.Key)); err == nil && len(b) == 2*keySize {
			return b, nil
		}
	}
	return nil, fmt.Errorf("blob: the slot of key %s in %s was changed: restore it from the backup", s.Key, ringFile)
}

// errFound ends a listing.
var errFound = errors.New("blob: found")

// sealer gives the key of a store that has no ring yet: that of an object in it, or the one for new objects.
func (r *ring) sealer(ctx context.Context, sh shelf) (id string, err error) {
	id = string(r.seal.id)
	err = sh.list(ctx, "", func(name string, _ time.Time) error {
		file, err := sh.open(ctx, name)
		if err != nil {
			return err
		}
		defer file.Close()
		h, err := readHeader(file)
		if err != nil {
			return err
		}
		found, err := keyID(h)
		if err != nil {
			return nil // damaged: another will tell
		}
		if _, ok := r.open[found]; !ok {
			return fmt.Errorf("%w: they need key %x, the one given is %x: without theirs no photo can be read", ErrKey, found, r.seal.id)
		}
		id = found
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return id, err
}

// mayseal looks, now and then, whether the sealing key was retired by a rotation that this process has not heard of:
// what it would seal could not be opened once the old key is thrown away.
func (r *ring) mayseal(ctx context.Context, sh shelf) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < ringEvery {
		return nil
	}
	now := time.Now()
	b, err := sh.readRing(ctx)
	if err != nil {
		return fmt.Errorf("blob: %w: the key ring cannot be read: %w", flow.ErrUnavailable, err)
	}
	t, err := parseRing(b)
	if err != nil {
		return fmt.Errorf("%w: %w", flow.ErrUnavailable, err)
	}
	if s := t.slot(r.seal); s == nil || s.Retired {
		return fmt.Errorf("blob: %w: key %x was retired by gateway rekey: start this gateway with the key that took its place", flow.ErrUnavailable, r.seal.id)
	}
	r.looked = now
	return nil
}

// object gives the name of a content for an owner.
func (r *ring) object(owner string, sum []byte) string {
	m := hmac.New(sha256.New, r.name)
	m.Write([]byte(owner + "/"))
	m.Write(sum)
	return owner + "/" + hex.EncodeToString(m.Sum(nil))
}

// key gives the key that a header was made with.
func (r *ring) key(h []byte) (keys, error) {
	id, err := keyID(h)
	if err != nil {
		return keys{}, err
	}
	k, ok := r.open[id]
	if !ok {
		return keys{}, fmt.Errorf("%w: it needs key %x", ErrKey, id)
	}
	return k, nil
}

// unwrap gives the cipher of an object's segments.
func (r *ring) unwrap(h []byte, name string) (cipher.AEAD, error) {
	k, err := r.key(h)
	if err != nil {
		return nil, err
	}
	dataKey, err := k.unwrap(h, name)
	if err != nil {
		return nil, err
	}
	return newGCM(dataKey), nil
}

// KeyID names the key that new objects are sealed with.
func (s *Store) KeyID() string { return hex.EncodeToString(s.ring.seal.id) }

// SearchKey is a secret of the store that outlives every rotation of its keys: cases are found by a hash under it.
func (s *Store) SearchKey() []byte { return s.ring.search }
