package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Secret is a value that no log, error or dump shows: given in the file itself (better: as ${ENV}) or, by
// the key's _file twin, in a file that is read at each use, so that it can be rotated.
type Secret struct {
	value string
	file  string
}

// NewSecret makes a secret of a value, for tests and for the configuration that needs no file.
func NewSecret(value string) Secret { return Secret{value: value} }

// Given tells whether the key or its twin was set.
func (s Secret) Given() bool { return s.value != "" || s.file != "" }

// File gives the path of the _file twin, empty when the value stands in the configuration.
func (s Secret) File() string { return s.file }

// String hides the value from %v and friends.
func (s Secret) String() string {
	switch {
	case s.file != "":
		return "(secret in " + s.file + ")"
	case s.value != "":
		return "(secret)"
	}
	return ""
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Read gives the value, without the line end that editors leave in files. An unset secret is empty.
func (s Secret) Read() (string, error) {
	if s.file == "" {
		return s.value, nil
	}
	b, err := os.ReadFile(s.file)
	if err != nil {
		return "", fmt.Errorf("config: secret: %w", err)
	}
	v := strings.TrimRight(string(b), "\r\n")
	if v == "" {
		return "", fmt.Errorf("config: secret: %s is empty", s.file)
	}
	return v, nil
}

// Key reads the secret as a key of 32 bytes: raw, as 64 hexadecimal digits, or as base64.
func (s Secret) Key() (key [32]byte, err error) {
	v, err := s.Read()
	if err != nil {
		return key, err
	}
	if len(v) == len(key) {
		return [32]byte([]byte(v)), nil
	}
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if b, err := decode(v); err == nil && len(b) == len(key) {
			return [32]byte(b), nil
		}
	}
	return key, errors.New("config: a key is 32 bytes: raw, 64 hexadecimal digits or base64 (openssl rand -hex 32)")
}
