package blob

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
)

// Sizes in bytes; the layout is in the package comment.
const (
	magic     = "DGBLOB1\n"
	parted    = "DGPART1\n" // of an object that is put together of others (parts.go)
	idSize    = 8
	nonceSize = 12
	tagSize   = 16
	keySize   = 32
	idEnd     = len(magic) + idSize
	nonceEnd  = idEnd + nonceSize
	header    = nonceEnd + keySize + tagSize
)

// Errors of an object that does not open.
var (
	ErrCorrupt = errors.New("blob: the object was changed, cut or extended")
	ErrKey     = errors.New("blob: the object was sealed with another key")
)

// keys are what is derived from a master key.
type keys struct {
	id   []byte
	wrap cipher.AEAD // of data keys
	ring cipher.AEAD // of the ring's secrets
}

func derive(master [keySize]byte) keys {
	return keys{
		id:   expand(master, "dermgate blob key id", idSize),
		wrap: newGCM(expand(master, "dermgate blob wrapping key", keySize)),
		ring: newGCM(expand(master, "dermgate blob ring key", keySize)),
	}
}

func expand(master [keySize]byte, purpose string, n int) []byte {
	key, err := hkdf.Key(sha256.New, master[:], nil, purpose, n)
	if err != nil {
		panic(err) // only for more than 255 times the size of the hash
	}
	return key
}

func newGCM(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // keys have 32 bytes here
	}
	g, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size of GCM
	}
	return g
}

// seal makes an object's header around its data key; kind is magic or parted.
func (k keys) seal(kind string, dataKey []byte, name string) []byte {
	h := append(append(make([]byte, 0, header), kind...), k.id...)
	bound := append(h[:idEnd:idEnd], name...)
	h = append(h, make([]byte, nonceSize)...)
	rand.Read(h[idEnd:nonceEnd]) // never fails (crypto/rand since Go 1.24)
	return k.wrap.Seal(h, h[idEnd:nonceEnd], dataKey, bound)
}

// unwrap gives an object's data key.
func (k keys) unwrap(h []byte, name string) ([]byte, error) {
	bound := append(h[:idEnd:idEnd], name...)
	dataKey, err := k.wrap.Open(nil, h[idEnd:nonceEnd], h[nonceEnd:], bound)
	if err != nil {
		return nil, ErrCorrupt
	}
	return dataKey, nil
}

// keyID gives the id of the key that a header was made with.
func keyID(h []byte) (string, error) {
	if len(h) != header || kindOf(h) != magic && kindOf(h) != parted {
		return "", ErrCorrupt
	}
	return string(h[len(magic):idEnd]), nil
}

// kindOf gives how a header begins.
func kindOf(h []byte) string { return string(h[:len(magic)]) }
