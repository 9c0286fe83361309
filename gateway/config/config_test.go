package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

func environment(name string) (string, bool) {
	v, ok := map[string]string{"AG_TOKEN": "s3cret", "PORT": "2575", "TRICK": "x, unknown: y"}[name]
	return v, ok
}

func full(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func parse(text string) (*Config, Faults) {
	c, err := Parse("gateway.yaml", []byte(text), environment)
	var faults Faults
	errors.As(err, &faults)
	return c, faults
}

// minimal is a configuration with one more section to try.
func minimal(more string) string {
	return "site: {name: A, ods: RXX01}\nsources:\n  - {name: gp, kind: fhir}\n" + more
}

func TestFullFileIsRead(t *testing.T) {
	c, faults := parse(full(t))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	s, e := c.Sources[0], c.Destinations[0]
	for what, got := range map[string][2]any{
		"zone":        {c.Site.Timezone.String(), "Europe/London"},
		"embedded":    {c.Store.Embedded, ""},
		"retain":      {c.Store.Retain, 84 * 24 * time.Hour},
		"limit":       {c.Limits.PhotoPixels, int64(64_000_000)},
		"timer":       {c.Timers["held_suspected"], pathway.Span{Hours: time.Hour}},
		"own timer":   {c.Timers["advice"], pathway.Span{Days: 5}},
		"other timer": {c.Timers["booked"], pathway.DefaultTimers()["booked"]},
		"silent":      {c.Alarms.SenderSilent["emis-mllp"], 2 * time.Hour},
		"allow":       {fmt.Sprint(s.Allow), "[10.1.0.0/16 192.0.2.7/32]"},
		"allow names": {fmt.Sprint(s.AllowNames), "[emis.example.org]"},
		"connections": {s.Connections, 128},
		"one address": {s.PerAddress, 100},
		"kind":        {s.KindOfCase.From, "RF1-3.1"},
		"ignore":      {fmt.Sprint(s.Repeat.Ignore), "[MSH-7]"},
		"validate": {s.Validate, Validate{Structure: Warn, Datatype: Refuse, Table: Warn, Length: Warn, Required: Off,
			Tables: []CodeTable{{"0001", []string{"M", "F"}}}, Lengths: []MaxLength{{"PID-5.1", 40}}}},
		"lenient": {c.Sources[2].Validate, Validate{Structure: Off, Datatype: Off, Table: Off, Length: Off, Required: Off}},
		"default": {c.Sources[1].Checks.Consent, Hold},
		"ers key": {e.Auth.Key.File(), "ers.pem"},
		"rate":    {e.Rate, 10.0},
		"keys":    {fmt.Sprint(c.Photos.Key.File(), len(c.Photos.OldKeys), c.Photos.OldKeys[0].File()), "/run/secrets/photo.key2/run/secrets/photo.old.key"},
		"audit":   {c.Audit, "/var/log/gateway/audit.jsonl"},
		"floor":   {c.Photos.Floor, Floor{0.97, 1200, 80}},
		"photo":   {c.Destinations[2].PhotoBytes, int64(4 << 20)},
		"takes":   {fmt.Sprint(c.Destinations[2].PhotoTypes, c.Destinations[2].PhotoPixels, c.Destinations[2].PhotoFloor, c.Destinations[2].Photos), "[dicom] 12000000 {0.98 800 90} 4"},
		"unsaid":  {c.Destinations[3].PhotoTypes, []string{"jpeg", "png", "gif", "tiff", "bmp"}},
		"rash":    {s.RashCodes, []string{"RASH", "271807003"}},
		"at once": {c.Limits.PixelsAtOnce, int64(32e6)},
		"version": {c.Destinations[2].Version, "2.4"},
		"mode":    {c.Destinations[2].Acknowledge, "enhanced"},
		"charset": {c.Destinations[3].Charset, "UNICODE UTF-8"},
		"when":    {c.Routes[2].When, When{Event: "triaged", Outcome: "accepted"}},
		"maps":    {c.Maps, "maps"},
	} {
		if !reflect.DeepEqual(got[0], got[1]) {
			t.Errorf("%s: got %v, want %v", what, got[0], got[1])
		}
	}
	if token, err := c.Destinations[1].Auth.Token.Read(); err != nil || token != "s3cret" {
		t.Errorf("token from the environment: %q, %v", token, err)
	}
}

// place is a key of the full file: where it stands and how it is reached.
type place struct {
	name, path string
	line, col  int
	value      ast.Node
}

// places lists every key of a file but those that a person names freely.
func places(t testing.TB, text string) []place {
	t.Helper()
	f, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []place
	var walk func(ast.Node, string)
	walk = func(n ast.Node, path string) {
		switch v := n.(type) {
		case *ast.MappingNode:
			for _, e := range v.Values {
				name, p := e.Key.(*ast.StringNode).Value, e.Key.GetToken().Position
				if path != "alarms.sender_silent" && !strings.HasSuffix(path, ".mailboxes") {
					out = append(out, place{name, strings.TrimPrefix(path+"."+name, "."), p.Line, p.Column, e.Value})
				}
				walk(e.Value, strings.TrimPrefix(path+"."+name, "."))
			}
		case *ast.SequenceNode:
			for i, e := range v.Values {
				walk(e, fmt.Sprintf("%s[%d]", path, i))
			}
		}
	}
	walk(f.Docs[0].Body, "")
	return out
}

func TestEveryMisspeltKeyIsRefusedAtItsPlace(t *testing.T) {
	text := full(t)
	lines := strings.Split(text, "\n")
	tried := map[string]bool{}
	for _, k := range places(t, text) {
		tried[k.name] = true
		wrong := k.name[:1] + "q" + k.name[1:]
		line := lines[k.line-1]
		changed := append([]string{}, lines...)
		changed[k.line-1] = line[:k.col-1] + wrong + line[k.col-1+len(k.name):]
		_, faults := parse(strings.Join(changed, "\n"))
		want := fmt.Sprintf("gateway.yaml:%d:%d: unknown key %q; ", k.line, k.col, wrong)
		if !strings.Contains(faults.Error(), want) {
			t.Errorf("%s misspelt: got %q, want %q", k.path, faults.Error(), want)
		}
		if len(k.name) > 2 && !strings.Contains(faults.Error(), fmt.Sprintf("did you mean %q?", k.name)) {
			t.Errorf("%s misspelt: no suggestion in %q", k.path, faults.Error())
		}
	}
	if len(tried) < 90 {
		t.Errorf("the full file has only %d different keys", len(tried))
	}
}

// TestEveryKeyOfTheDecoderIsInTheFullFile keeps testdata/full.yaml full: an empty object of each kind
// lists what it knows, and each of those words must have been tried above.
func TestEveryKeyOfTheDecoderIsInTheFullFile(t *testing.T) {
	named := map[string]bool{}
	for _, k := range places(t, full(t)) {
		named[strings.TrimSuffix(k.name, "_file")] = true
	}
	for kind, table := range map[string]map[string][]string{"source": sourceKeys, "destination": destinationKeys} {
		for _, words := range table {
			for _, w := range words {
				if !named[w] {
					t.Errorf("%s key %s is not in testdata/full.yaml", kind, w)
				}
			}
		}
	}
}

// TestEveryRemovedKeyIsMissedOrOptional removes each key in turn: those a configuration cannot do without
// must be asked for at the place where they belong, every other must leave a configuration that loads.
func TestEveryRemovedKeyIsMissedOrOptional(t *testing.T) {
	needed := map[string]bool{}
	for _, path := range []string{
		"site", "site.name", "site.ods", "sources", "photos", "photos.url", "photos.key_file", "store.redis.url", "store.redis.durability",
		"store.redis.reason", "http.tls", "http.tls.cert_file", "http.tls.key_file", "http.oidc.issuer",
		"http.oidc.audience", "http.clients[0].certificate", "http.clients[0].roles", "http.tls.client_ca_file",
		"owners.provider.name", "owners.operations.name", "sources[0].name", "sources[0].kind", "sources[0].listen",
		"sources[0].tls", "sources[0].tls.cert_file", "sources[0].tls.key_file", "sources[0].tls.client_ca_file",
		"sources[0].kind_of_case", "sources[0].kind_of_case.from", "sources[0].validate.table", "sources[0].validate.length",
		"sources[0].validate.tables[0].table", "sources[0].validate.tables[0].values", "sources[0].validate.lengths[0].at",
		"sources[0].validate.lengths[0].characters", "sources[0].urgency.from",
		"sources[0].acknowledge.application_to", "sources[1].name", "sources[1].kind", "sources[2].name",
		"sources[2].kind", "sources[3].name", "sources[3].kind", "sources[3].path", "sources[4].name", "sources[4].kind",
		"sources[4].base_url", "sources[4].auth", "sources[4].auth.token_url", "sources[4].auth.client_id", "sources[4].auth.key_file", "sources[4].services", "sources[5].name",
		"sources[5].kind", "sources[5].base_url", "sources[5].auth", "sources[5].auth.token_file", "sources[5].services",
		"sources[5].business_function", "sources[5].on_behalf_of", "sources[6].name", "sources[6].kind", "sources[6].mailbox", "sources[6].base_url", "sources[6].password_file", "sources[6].shared_key", "sources[6].tls.cert_file", "sources[6].tls.key_file",
		"destinations[5].name", "destinations[5].kind", "destinations[5].base_url", "destinations[5].mailbox", "destinations[5].password_file", "destinations[5].shared_key",
		"destinations[5].tls.cert_file", "destinations[5].tls.key_file", "destinations", "destinations[0].name", "destinations[0].kind",
		"destinations[0].base_url", "destinations[0].auth", "destinations[0].auth.token_url",
		"destinations[0].auth.client_id", "destinations[0].auth.key_file",
		"destinations[0].poll_auth.token_url", "destinations[0].poll_auth.client_id", "destinations[0].poll_auth.key_file",
		"destinations[1].name", "destinations[1].kind", "destinations[1].base_url", "destinations[1].service", "destinations[1].auth.token",
		"destinations[2].name", "destinations[2].kind", "destinations[2].address", "destinations[2].tls",
		"destinations[2].lengths[0].at", "destinations[2].lengths[0].characters", "destinations[2].tls.cert_file", "destinations[2].tls.key_file", "destinations[3].name",
		"destinations[3].kind", "destinations[3].address", "destinations[3].plaintext",
		"destinations[4].kind", "destinations[4].base_url", "destinations[4].auth.token_file", "destinations[4].name",
		"destinations[4].callback.api_key_file", "destinations[4].callback.secret_file", "routes[0].when", "routes[0].to",
		"routes[1].when", "routes[1].to", "routes[2].when", "routes[2].to", "routes[3].when", "routes[3].to", "maps.path", "audit.path",
	} {
		needed[path] = true
	}
	text := full(t)
	for _, k := range places(t, text) {
		_, faults := parse(without(t, text, k.path))
		switch {
		case needed[k.path] && len(faults) == 0:
			t.Errorf("%s removed and nothing missed it", k.path)
		case !needed[k.path] && len(faults) > 0:
			t.Errorf("%s is optional, but removing it gives %v", k.path, faults)
		}
		for _, f := range faults {
			if f.Line < 1 || f.Col < 1 {
				t.Errorf("%s removed: %q has no place", k.path, f.Error())
			}
		}
		delete(needed, k.path)
	}
	for path := range needed {
		t.Errorf("%s is not in the full file", path)
	}
}

// without writes a file again with one key left out.
func without(t testing.TB, text, path string) string {
	t.Helper()
	f, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	var write func(n ast.Node, at string) string
	write = func(n ast.Node, at string) string {
		var parts []string
		switch v := n.(type) {
		case *ast.MappingNode:
			for _, e := range v.Values {
				name := e.Key.(*ast.StringNode).Value
				here := strings.TrimPrefix(at+"."+name, ".")
				if here != path {
					parts = append(parts, name+": "+write(e.Value, here))
				}
			}
			return "{" + strings.Join(parts, ", ") + "}"
		case *ast.SequenceNode:
			for i, e := range v.Values {
				parts = append(parts, write(e, fmt.Sprintf("%s[%d]", at, i)))
			}
			return "[" + strings.Join(parts, ", ") + "]"
		}
		return fmt.Sprintf("%q", n.GetToken().Value)
	}
	return write(f.Docs[0].Body, "")
}

func TestSecretsStayIn(t *testing.T) {
	c, _ := parse(full(t))
	for _, text := range []string{fmt.Sprintf("%v", c), fmt.Sprintf("%+v", *c.Destinations[1].Auth), fmt.Sprintf("%#v", *c.Destinations[1].Auth)} {
		if strings.Contains(text, "s3cret") {
			t.Errorf("the token is shown in %s", text)
		}
	}
	_, faults := parse(minimal("destinations:\n  - {name: a, kind: fhir, base_url: 'https://u:s3cret@h/', auth: {token: [s3cret]}}\n"))
	if len(faults) == 0 || strings.Contains(faults.Error(), "s3cret") {
		t.Errorf("a fault shows a secret: %v", faults)
	}
}

func TestSecretFromAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("abc\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := minimal("destinations:\n  - {name: a, kind: fhir, base_url: 'https://h', auth: {token_file: token}}\nmaps: {path: gone}\n")
	c, err := Parse(filepath.Join(dir, "gateway.yaml"), []byte(text), environment)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := c.Destinations[0].Auth.Token.Read(); v != "abc" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	faults := c.CheckFiles()
	if len(faults) != 1 || faults[0].Line != 6 || faults[0].Col != 14 || !strings.Contains(faults[0].Text, "no such file") {
		t.Errorf("the missing folder: %v", faults)
	}
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Destinations[0].Auth.Token.Read(); err == nil {
		t.Error("an empty secret file is taken")
	}
}

func TestKeys(t *testing.T) {
	raw := strings.Repeat("k", 32)
	for _, form := range []string{raw, strings.Repeat("6b", 32), "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="} {
		key, err := NewSecret(form).Key()
		if err != nil || string(key[:]) != raw {
			t.Errorf("key form of %d characters: %v", len(form), err)
		}
	}
	if _, err := NewSecret("short").Key(); err == nil {
		t.Error("a short key is taken")
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true,
		"0.0.0.0:1": false, ":1": false, "[::]:1": false, "10.0.0.1:1": false, "gateway:1": false, "127.0.0.1": false,
		"127.0.0.1.example.org:1": false,
	} {
		if Loopback(address) != want {
			t.Errorf("%s: want %v", address, want)
		}
	}
}

func TestDefault(t *testing.T) {
	c := Default()
	if faults := c.Check(); len(faults) > 0 {
		t.Error(faults)
	}
	if c.Store.Embedded != filepath.Join("data", "gateway.db") || c.HTTP.Listen != "127.0.0.1:8080" || c.Sources[0].Listen != "127.0.0.1:2575" {
		t.Errorf("not what the commands promise: %+v", c)
	}
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0].Text, "no destinations") {
		t.Errorf("warnings: %v", w)
	}
}

// A destination that gets nothing but acknowledgements is one that something leads to.
func TestADestinationOfAcknowledgementsNeedsNoRoute(t *testing.T) {
	for mode, want := range map[string]string{"enhanced": "", "original": "no route leads to gp"} {
		c, faults := parse(minimal("  - {name: http, kind: hl7http, carries: [answers], acknowledge: {mode: " + mode + ", application_to: gp}}\n" +
			"destinations: [{name: gp, kind: mllp, address: 127.0.0.1:1}, {name: ag, kind: fhir, base_url: 'http://127.0.0.1:2'}]\n" +
			"routes: [{when: {}, to: [ag]}]\n"))
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if got := c.Warnings().Error(); !strings.HasSuffix(got, want) || want == "" && got != "" {
			t.Errorf("%s: warnings %q, want %q", mode, got, want)
		}
	}
}

func TestExampleFile(t *testing.T) {
	c, err := Load("../../gateway.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(c.CheckFiles(), c.Warnings()...) {
		t.Error(f)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full(f))
	f.Add(minimal("routes:\n  - {when: {}, to: [x]}\n"))
	f.Add("a: {b: [c, {d: ${E}}]}\n? x\n: y\n<<: *z\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f", []byte(text), environment)
		var faults Faults
		if err != nil && !errors.As(err, &faults) {
			t.Fatalf("an error that is no fault: %v", err)
		}
		for _, x := range faults {
			if x.Line < 1 || x.Col < 1 {
				t.Errorf("%q has no place", x.Error())
			}
		}
		if err == nil {
			c.Warnings()
		}
	})
}
