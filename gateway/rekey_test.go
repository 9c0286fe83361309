package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/adapters/blob"
)

const rekeyConfig = `site: {name: St Elsewhere, ods: RXX01}
store: {embedded: {path: %[1]s/gateway.db}}
photos: {url: "file://%[1]s/photos", %[2]s}
http: {listen: 127.0.0.1:0}
admin: {listen: 127.0.0.1:0}
sources: [{name: gp, kind: fhir}]
`

// A key is changed from the one that was made beside the store to one of the site's own, and each step that goes wrong says
// which key is missing, at its place in the file.
func TestRekeyVerb(t *testing.T) {
	dir := t.TempDir()
	write := func(keys string) string {
		path := filepath.Join(dir, "gateway.yaml")
		if err := os.WriteFile(path, fmt.Appendf(nil, rekeyConfig, dir, keys), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := func(name string, b byte) [32]byte {
		k := [32]byte(bytes.Repeat([]byte{b}, 32))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(hex.EncodeToString(k[:])+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return k
	}
	first, second, wrong := key("photo.key", 1), key("new.key", 2), key("wrong.key", 3)
	photos, err := blob.OpenFolder(filepath.Join(dir, "photos"), blob.Keys{Seal: first})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := photos.Put(t.Context(), "case", strings.NewReader(fmt.Sprint("photo ", i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		keys, out, errs string
		code            int
	}{
		{"key_file: wrong.key", "", ":3:", 1},
		{"key_file: wrong.key", "", "they need key " + blob.KeyID(first) + ", the one given is " + blob.KeyID(wrong), 1},
		{"key_file: wrong.key, old_key_files: [new.key]", "", "they need key " + blob.KeyID(first), 1},
		{"key_file: missing.key", "", "missing.key", 1},
		{"floor: {side: 800}", "3 objects, 0 of them sealed anew; keys retired: none\n", "", 0},
		{"key_file: new.key, old_key_files: [photo.key]", "3 objects, 3 of them sealed anew; keys retired: " + blob.KeyID(first) + "\n", "", 0},
		{"key_file: new.key, old_key_files: [photo.key]", "3 objects, 0 of them sealed anew; keys retired: none\n", "", 0},
		{"key_file: new.key", "3 objects, 0 of them sealed anew; keys retired: none\n", "", 0},
		{"floor: {side: 800}", "", "they need key " + blob.KeyID(second), 1},
	} {
		out, errs, code := called(t, "rekey", "-c", write(test.keys))
		if out != test.out || !strings.Contains(errs, test.errs) || code != test.code {
			t.Errorf("%s: exit %d, %q, %q", test.keys, code, out, errs)
		}
	}
	if _, errs, code := called(t, "serve", "-c", write("key_file: wrong.key")); code != 1 || !strings.Contains(errs, "they need key "+blob.KeyID(second)) {
		t.Errorf("serve: exit %d, %q", code, errs)
	}
	if _, errs, code := called(t, "rekey"); code != 2 && code != 1 {
		t.Errorf("without a file: exit %d, %q", code, errs)
	}
}
