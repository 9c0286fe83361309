package nhsauth

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
)

// smallest is the least length of a key in bits: the NHS API platform registers RSA keys of 4096, and RS512 is no
// stronger than its key.
const smallest = 2048

// Key is one RSA key of an application.
type Key struct {
	ID      string          // kid
	Public  *rsa.PublicKey  //
	Private *rsa.PrivateKey // nil: it is only published
}

// ReadKeys reads the keys of a PEM file in their order. The first private one signs; all of them are published, so that
// a key may be known to the token service before it signs, and is known still when another one does. firstID names
// the first key, as it was registered; the others, and the first when firstID is empty, go by their thumbprint (RFC
// 7638), which changes with the key. The error names what is wrong with the file and shows nothing of it.
func ReadKeys(text []byte, firstID string) ([]Key, error) {
	var out []Key
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		k, err := parse(block)
		if err != nil {
			return nil, err
		}
		if k.Public.N.BitLen() < smallest {
			return nil, errors.New("nhsauth: an RSA key of less than 2048 bits")
		}
		if k.ID = firstID; len(out) > 0 || firstID == "" {
			k.ID = thumbprint(k.Public)
		}
		out = append(out, k)
	}
	for _, k := range out {
		if k.Private != nil {
			return out, nil
		}
	}
	return nil, errors.New("nhsauth: no RSA private key in PEM form")
}

func parse(block *pem.Block) (Key, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	default:
		return Key{}, errors.New("nhsauth: a PEM block that is no RSA private or public key: " + block.Type)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if err == nil && k.Validate() == nil {
			return Key{Public: &k.PublicKey, Private: k}, nil
		}
	case *rsa.PublicKey:
		if err == nil {
			return Key{Public: k}, nil
		}
	}
	return Key{}, errors.New("nhsauth: a PEM block that holds no RSA key") // its own error may quote the key
}

// jwk is a public key as JSON (RFC 7517).
type jwk struct {
	E         string `json:"e"`
	KeyType   string `json:"kty"`
	N         string `json:"n"`
	ID        string `json:"kid,omitempty"`
	Algorithm string `json:"alg,omitempty"`
	Use       string `json:"use,omitempty"`
}

func (k Key) jwk() jwk {
	e := big.NewInt(int64(k.Public.E)).Bytes()
	return jwk{E: encode(e), KeyType: "RSA", N: encode(k.Public.N.Bytes()), ID: k.ID, Algorithm: "RS512", Use: "sig"}
}

// thumbprint names a key by what it is (RFC 7638 §3: the required members in the order of their names).
func thumbprint(p *rsa.PublicKey) string {
	j := Key{Public: p}.jwk()
	b, _ := json.Marshal(jwk{E: j.E, KeyType: j.KeyType, N: j.N}) // strings only: it cannot fail
	sum := sha256.Sum256(b)
	return encode(sum[:])
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// JWKS writes the public keys as a JWK Set, each once: what /.well-known/jwks.json serves and the NHS API platform
// verifies signatures with.
func JWKS(keys []Key) []byte {
	set := struct {
		Keys []jwk `json:"keys"`
	}{[]jwk{}}
	seen := map[jwk]bool{}
	for _, k := range keys {
		if j := k.jwk(); !seen[j] {
			seen[j] = true
			set.Keys = append(set.Keys, j)
		}
	}
	b, _ := json.Marshal(set)
	return b
}

// signers gives the key that signs, and those that may be tried when the service does not know that one yet.
func signers(keys []Key) []Key {
	var out []Key
	for _, k := range keys {
		if k.Private != nil {
			out = append(out, k)
		}
	}
	return out
}
