package blob

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ParseKey reads a master key: 32 bytes as 64 hex digits or as base64.
func ParseKey(text string) (key [32]byte, err error) {
	text = strings.TrimSpace(text)
	raw, err := hex.DecodeString(text)
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil || len(raw) != len(key) {
		return key, errors.New("blob: a key is 32 bytes, as 64 hex digits or base64")
	}
	copy(key[:], raw)
	return key, nil
}

// LoadKey reads a key file that nobody but its owner may read.
func LoadKey(path string) ([32]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return [32]byte{}, fmt.Errorf("blob: key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return [32]byte{}, fmt.Errorf("blob: key: %s may be read by others: chmod 600 it", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return [32]byte{}, fmt.Errorf("blob: key: %w", err)
	}
	return ParseKey(string(text))
}

// CreateKey loads a key file, making one of random bytes when there is none. It is durable, and whole
// whenever it is there: losing it loses the photos.
func CreateKey(path string) (key [32]byte, err error) {
	if key, err = LoadKey(path); !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	dir := filepath.Dir(path)
	if err := makeFolders(local{}, dir); err != nil {
		return key, fmt.Errorf("blob: key: %w", err)
	}
	rand.Read(key[:])
	err = writeKey(dir, path, hex.EncodeToString(key[:])+"\n")
	if errors.Is(err, fs.ErrExist) {
		return LoadKey(path) // another process came first
	}
	if err != nil {
		return [32]byte{}, fmt.Errorf("blob: key: %w", err)
	}
	return key, nil
}

// writeKey gives the file its name when it is written and only if nothing has that name.
func writeKey(dir, path, text string) error {
	tmp, err := os.CreateTemp(dir, temporary+"*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err := tmp.WriteString(text); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return local{}.SyncDir(dir)
}
