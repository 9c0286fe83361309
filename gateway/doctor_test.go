package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/adapters/sim"
)

// examined runs doctor on a configuration and gives what it found, by state, check and text, and its exit code.
func examined(t *testing.T, text string) (out string, code int) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "photo.key"), bytes.Repeat([]byte("ab"), 32), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	var found, told bytes.Buffer
	code = run(t.Context(), []string{"doctor", "-c", path, "--json"}, stdio{nil, &found, &told})
	var list []finding
	if err := json.Unmarshal(found.Bytes(), &list); err != nil {
		t.Fatalf("%v: %s%s", err, found.String(), told.String())
	}
	for _, f := range list {
		if f.State == faulty && f.Cure == "" {
			t.Errorf("a fault without a cure: %+v", f)
		}
		out += fmt.Sprintf("%s %s: %s; cure: %s\n", f.State, f.Check, f.Text, f.Cure)
	}
	return out, code
}

const doctorConfig = `site: {name: Test, ods: RXX01}
store: %s
photos: {url: "file://DIR/photos", key_file: DIR/photo.key}
sources:
  - {name: answers, kind: mllp, listen: 127.0.0.1:0, carries: [answers]}
destinations:
%s`

// Settings that would lose what was acknowledged are named with their cure, and serve does not start with them.
func TestDoctorNamesWhatIsWrongWithRedis(t *testing.T) {
	for setting, cure := range map[string]string{"appendfsync everysec": "CONFIG SET appendfsync always", "maxmemory-policy allkeys-lru": "CONFIG SET maxmemory-policy noeviction"} {
		server := adaptertest.Redis(t, setting)
		text := fmt.Sprintf(doctorConfig, "{redis: {url: "+server.URL()+", wait: {replicas: 1}}}", "  - {name: epr, kind: mllp, address: 127.0.0.1:1}\n")
		out, code := examined(t, text)
		for _, want := range []string{"fault store: " + server.Addr(), cure, "0 replicas follow it", "fault destination epr: 127.0.0.1:1 takes no connection"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s", setting, want, out)
			}
		}
		if code != 1 {
			t.Errorf("exit %d", code)
		}
		path, _, _ := outageConfig(t, server.Addr(), "127.0.0.1:1")
		var said bytes.Buffer
		if code := run(t.Context(), []string{"serve", "-c", path}, stdio{nil, io.Discard, &said}); code != 1 || !strings.Contains(said.String(), cure) {
			t.Errorf("serve: exit %d: %s", code, said.String())
		}
	}
	gone := freePort(t)
	out, _ := examined(t, fmt.Sprintf(doctorConfig, "{redis: {url: 'redis://user:geheim@"+gone+"'}}", "  - {name: epr, kind: mllp, address: 127.0.0.1:1}\n"))
	if !strings.Contains(out, "fault store: "+gone+": it does not answer") || strings.Contains(out, "geheim") {
		t.Errorf("no Redis: %s", out)
	}
}

// fhirServer speaks R4 as far as doctor asks, over TLS with a certificate that lasts.
func fhirServer(t *testing.T, trust *adaptertest.Trust, lasts time.Duration, capability string, ahead time.Duration) string {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		if r.Header.Get("Authorization") != "Bearer right" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, capability)
	}))
	config := trust.Config("server")
	config.Certificates[0] = trust.Issue("server", lasts)
	s.TLS = config
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// What is well is said to be so, exit 0; each thing that is not is found by its name.
func TestDoctorLooksAtPeers(t *testing.T) {
	trust, strange := adaptertest.NewTrust(t), adaptertest.NewTrust(t)
	keys := t.TempDir()
	trust.Files(keys, trust.Issue("gateway", 100*24*time.Hour))
	const able = `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[{"mode":"server","operation":[{"name":"process-message"}]}]}`
	const year = 365 * 24 * time.Hour
	destination := func(base, token string) string {
		return fmt.Sprintf("  - {name: ag, kind: fhir, base_url: %s, auth: {token: %s}, tls: {ca_file: %s/ca.crt, cert_file: %s/tls.crt, key_file: %s/tls.key}}\n", base, token, keys, keys, keys)
	}
	for name, c := range map[string]struct {
		destination, want string
		code              int
	}{
		"all well":          {destination(fhirServer(t, trust, year, able, 0), "right"), "ok destination ag: it speaks FHIR 4.0.1 and takes $process-message", 0},
		"ended certificate": {destination(fhirServer(t, trust, -time.Minute, able, 0), "right"), "fault destination ag: TLS with ", 1},
		"soon at its end":   {destination(fhirServer(t, trust, 9*24*time.Hour+time.Hour, able, 0), "right"), "warning destination ag: the certificate of 127.0.0.1", 0},
		"another authority": {destination(fhirServer(t, strange, year, able, 0), "right"), "fault destination ag: TLS with ", 1},
		"wrong token":       {destination(fhirServer(t, trust, year, able, 0), "wrong"), "fault destination ag: it refuses us: 401", 1},
		"STU3":              {destination(fhirServer(t, trust, year, strings.Replace(able, "4.0.1", "3.0.2", 1), 0), "right"), `fault destination ag: it speaks FHIR "3.0.2"`, 1},
		"takes no messages": {destination(fhirServer(t, trust, year, strings.Replace(able, "process-message", "everything", 1), 0), "right"), "warning destination ag: it speaks FHIR 4.0.1 and does not say", 0},
		"another time":      {destination(fhirServer(t, trust, year, able, -10*time.Minute), "right"), "fault destination ag: our clock is 10m", 1},
		"no such name":      {destination("https://ag.invalid", "right"), "fault destination ag: the name ag.invalid is not found", 1},
	} {
		out, code := examined(t, fmt.Sprintf(doctorConfig, "{embedded: {path: DIR/gateway.db}}", c.destination))
		if !strings.Contains(out, c.want) {
			t.Errorf("%s: %q is not in\n%s", name, c.want, out)
		}
		if code != c.code || strings.Contains(out, "fault ") != (code == 1) {
			t.Errorf("%s: exit %d\n%s", name, code, out)
		}
		if strings.Contains(out, "right") || strings.Contains(out, "wrong") {
			t.Errorf("%s: a token is told:\n%s", name, out)
		}
	}
}

// The credential of a worklist is tried with a read that costs none of its two looks a day.
func TestDoctorTriesTheCredentialOfAWorklist(t *testing.T) {
	e, err := sim.StartERS("")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	source := fmt.Sprintf("  - {name: list, kind: ers-worklist, base_url: %s, auth: {token: right}, services: ['1']}\n", e.Base())
	config := strings.Replace(fmt.Sprintf(doctorConfig, "{embedded: {path: DIR/gateway.db}}", "  - {name: nobody, kind: mllp, address: '"+e.URL[len("http://"):]+"'}\n"), "sources:\n", "sources:\n"+source, 1)
	out, code := examined(t, config)
	for _, want := range []string{"ok source list: e-RS takes us (A004): working days to triage 2/5/40", "ok source list: no user is signed in"} {
		if !strings.Contains(out, want) || code != 0 {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	e.Fail(sim.Fault{Call: "A004", Status: 403})
	if out, code = examined(t, config); code != 1 || !strings.Contains(out, "fault source list: e-RS does not take us") || strings.Contains(out, "right") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if n := len(e.Received("A008", "A023")); n != 0 {
		t.Errorf("%d worklists were read", n)
	}
}

// Photos are tried with an object that goes again; a key that is not theirs, one that others can read, one that nothing needs
// and a rotation that has not ended are told.
func TestDoctorTriesThePhotos(t *testing.T) {
	s := startSink(t)
	dir := t.TempDir()
	keyFile := func(name, digits string, mode os.FileMode) [32]byte {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, bytes.Repeat([]byte(digits), 32), mode); err != nil {
			t.Fatal(err)
		}
		key, err := blob.ParseKey(strings.Repeat(digits, 32))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	first := keyFile("first.key", "a1", 0o600)
	keyFile("second.key", "b2", 0o644)
	keyFile("third.key", "c3", 0o600)
	if err := os.WriteFile(filepath.Join(dir, "short.key"), []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	photos := filepath.Join(dir, "photos")
	look := func(keys string, want ...string) {
		t.Helper()
		text := strings.Replace(doctorConfig, `photos: {url: "file://DIR/photos", key_file: DIR/photo.key}`, fmt.Sprintf(`photos: {url: "file://%s", %s}`, photos, strings.ReplaceAll(keys, "KEYS", dir)), 1)
		out, _ := examined(t, fmt.Sprintf(text, "{embedded: {path: DIR/gateway.db}}", "  - {name: epr, kind: mllp, address: '"+s.server.Address()+"'}\n"))
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: %q is not in\n%s", keys, w, out)
			}
		}
		if entries, err := os.ReadDir(photos); err == nil && len(entries) > 1 { // .keyring
			t.Errorf("%s: doctor left %v", keys, entries)
		}
	}
	look("key_file: KEYS/first.key") // no folder yet: its parent is looked at
	if err := os.Mkdir(photos, 0o700); err != nil {
		t.Fatal(err)
	}
	look("key_file: KEYS/first.key", "ok photos: an object was written, read back and removed", "ok photos: there is no key ring yet")
	store, err := blob.OpenFolder(photos, blob.Keys{Seal: first})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	id, next := blob.KeyID(first), blob.KeyID([32]byte(bytes.Repeat([]byte{0xb2}, 32)))
	look("key_file: KEYS/first.key", "ok photos: key "+id+" seals, and has its slot")
	look("key_file: KEYS/first.key, old_key_files: [KEYS/third.key]", "warning photos: no photo needs these keys")
	look("key_file: KEYS/third.key", "fault photos: blob: the object was sealed with another key", "they need key "+id)
	look("key_file: KEYS/second.key, old_key_files: [KEYS/first.key]", "ok photos: key "+next+" seals from the next start on, beside "+id, "warning photos: "+dir+"/second.key may be read by others")
	look("key_file: KEYS/short.key", "fault photos: the keys of photos: config: a key is 32 bytes")
	if err := os.WriteFile(filepath.Join(photos, ".keyring"), []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	look("key_file: KEYS/first.key", "fault photos: blob: .keyring is no key ring of this version")
}

// A bucket is tried as a folder is; one that lets nobody write is a fault.
func TestDoctorTriesTheBucket(t *testing.T) {
	s, readOnly := startSink(t), atomic.Bool{}
	address, _ := fakeBucket(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if readOnly.Load() && r.Method == http.MethodPut {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	text := fmt.Sprintf(doctorConfig, "{embedded: {path: DIR/gateway.db}}", "  - {name: epr, kind: mllp, address: '"+s.server.Address()+"'}\n")
	text = strings.Replace(text, `"file://DIR/photos", key_file: DIR/photo.key`, `"`+address+`", key_file: DIR/photo.key, cache: {path: DIR/cache}`, 1)
	text = strings.Replace(text, "sources:", "audit: {path: DIR/audit.jsonl}\nsources:", 1)
	if out, code := examined(t, text); code != 0 || !strings.Contains(out, "ok photos: an object was written, read back and removed") {
		t.Errorf("exit %d\n%s", code, out)
	}
	readOnly.Store(true)
	if out, code := examined(t, text); code != 1 || !strings.Contains(out, "fault photos: an object cannot be written: ") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// A TCP port that takes connections is a well MLLP peer: no message is sent to it.
func TestDoctorSendsNoMessage(t *testing.T) {
	s := startSink(t)
	out, code := examined(t, fmt.Sprintf(doctorConfig, "{embedded: {path: DIR/gateway.db}}", "  - {name: epr, kind: mllp, address: '"+s.server.Address()+"'}\n"))
	if code != 0 || !strings.Contains(out, "ok destination epr: "+s.server.Address()+" takes connections") || !strings.Contains(out, "a sync takes") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if s.count() != 0 {
		t.Error("a message came")
	}
	if code := run(t.Context(), []string{"doctor", "extra"}, stdio{nil, io.Discard, io.Discard}); code != 2 {
		t.Errorf("wrong usage: exit %d", code)
	}
}
