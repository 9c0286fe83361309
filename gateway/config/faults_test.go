package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestFaults: each text on the left, with every fault it must give.
func TestFaults(t *testing.T) {
	mllp := func(more string) string {
		return "site: {name: A, ods: RXX01}\nsources:\n  - name: gp\n    kind: mllp\n    listen: 127.0.0.1:1\n" + more
	}
	rule := "    kind_of_case: {from: RF1-3.1, advice: [AG]}\n"
	for _, c := range []struct {
		what, text string
		want       []string
	}{
		{"empty", "", []string{"1:1: empty: nothing is configured"}},
		{"only a comment", "# nothing\n", []string{"1:1: empty: nothing is configured"}},
		{"no mapping", "- a\n", []string{"1:1: a configuration holds keys and values"}},
		{"not YAML", "site: [a\n", []string{"1:7: not YAML: sequence end token ']' not found"}},
		{"tab", "site:\n\tname: a\n", []string{"2:1: not YAML: found character '\t' that cannot start any token"}},
		{"two documents", minimal("---\nsite: {}\n"), []string{"4:1: a second document: a configuration is one"}},
		{"twice", minimal("site: {name: B, ods: RXX02}\n"), []string{"4:1: site is given twice, first at line 1"}},
		{"no value", minimal("limits:\n"), []string{"4:1: limits has no value: give one, or leave the key out"}},
		{"anchor", minimal("limits: &x {attachments: 2}\n"), []string{"4:9: limits holds keys and values"}},
		{"several at once", minimal("limits: {attachments: many, photo_bytes: 5wd}\nadmn: {}\n"), []string{
			"4:23: attachments is a whole number",
			"4:42: photo_bytes is a size such as 25MiB (units B, KB, MB, GB, KiB, MiB, GiB)",
			`5:1: unknown key "admn"; did you mean "admin"?`}},
		{"range", minimal("limits: {attachments: 0, message_bytes: 1}\n"), []string{
			"4:23: attachments is between 1 and 10000",
			"4:41: message_bytes is between 1024 and 1073741824 bytes"}},
		{"pixels", minimal("limits: {photo_pixels: 5MiB}\n"), []string{"4:24: photo_pixels is a number of pixels such as 64MP"}},
		{"photo over message", minimal("limits: {message_bytes: 1MiB, photo_bytes: 2MiB}\n"), []string{
			"4:44: photo_bytes is over message_bytes: no such photo could arrive"}},
		{"floor", minimal("photos: {url: 'file:///x', floor: {ssim: 0.3, side: 0, quality: 101}}\n"), []string{
			"4:42: ssim is a likeness of 0.5 to 1", "4:53: side is between 1 and 65535 pixels", "4:65: quality is between 1 and 100"}},
		{"what e-RS never takes", minimal("destinations: [{name: e, kind: ers, base_url: 'https://e.example', auth: {token: t}, photo_types: [jpeg, webp], photos: 0}]\n"), []string{
			`4:106: photo_types[1] cannot be "webp"; known here: jpeg, png, gif, tiff, dicom`, "4:121: photos is between 1 and 10000"}},
		{"duration", minimal("alarms: {oldest_waiting: 15}\n"), []string{"4:26: oldest_waiting is a duration such as 200ms, 15m, 2h or 14d"}},
		{"working days are for timers", minimal("store: {retain: 5wd}\n"), []string{"4:17: retain is a duration such as 200ms, 15m, 2h or 14d"}},
		{"timer", minimal("timers: {advise: 5wd, unread: soon}\n"), []string{
			`4:10: unknown key "advise"; did you mean "advice"?`,
			"4:31: unread is a duration such as 8h, days such as 28d, or working days such as 5wd (0wd: the same day)"}},
		{"zone", "site: {name: A, ods: RXX01, timezone: London}\nsources: [{name: a, kind: fhir}]\n", []string{
			"1:39: timezone is a time zone of the IANA database such as Europe/London"}},
		{"ods", "site: {name: A, ods: rxx01}\nsources: [{name: a, kind: fhir}]\n", []string{
			"1:22: ods is an ODS code such as RXX01: capitals and digits"}},
		{"a bucket without a key", minimal("photos: {url: 's3://photos?region=eu-west-2'}\n"), []string{
			"4:9: a bucket needs key or key_file: the photos are sealed before they leave this machine", "4:9: with a bucket the audit log has no folder to lie in: audit: {path: …}"}},
		{"no place for photos", minimal("photos: {url: 'ftp://photos', key: k}\n"), []string{"4:15: url is a folder as file:///var/lib/gateway/photos, or file://./photos beside the configuration, or a bucket as s3://photos?region=eu-west-2"}},
		{"a password in the address of a bucket", minimal("photos: {url: 's3://id:secret@photos', key: k}\n"), []string{"4:15: url is a folder as file:///var/lib/gateway/photos, or file://./photos beside the configuration, or a bucket as s3://photos?region=eu-west-2"}},
		{"old keys and no new one", minimal("photos: {url: 'file:///p', old_keys: [k]}\n"), []string{"4:9: old keys need the key that takes their place: key or key_file"}},
		{"a cache of a folder", minimal("photos: {url: 'file:///p', key: k, cache: {path: x}}\n"), []string{"4:43: a cache is of a bucket: a folder needs none"}},
		{"environment", minimal("photos: {url: '${NO_SUCH}'}\n"), []string{`4:15: url: the environment has no variable "NO_SUCH"`}},
		{"environment open", minimal("photos: {url: '${NO'}\n"), []string{"4:15: url: ${ without }"}},
		{"environment is data", minimal("maps: {path: '${TRICK}'}\n"), nil},
		{"escaped", minimal("maps: {path: '$${TRICK}'}\n"), nil},
		{"secret and twin", minimal("alarms: {webhook: a, webhook_file: b}\n"), []string{
			"4:36: webhook and webhook_file are both given: keep one"}},
		{"two stores", minimal("store: {redis: {url: 'redis://h'}, embedded: {path: x}}\nphotos: {url: 'file:///p', key: k}\n"), []string{
			"4:46: a store is redis or embedded, not both"}},
		{"redis without photo key", minimal("store: {redis: {url: 'redis://h'}}\n"), []string{
			"1:1: with Redis the photos need key or key_file: every replica seals with the same one"}},
		{"attested without a reason", minimal("store: {redis: {url: u, durability: attested}}\nphotos: {url: 'file:///p', key: k}\n"), []string{
			"4:37: durability attested and its reason go together: who vouches, and how they know"}},
		{"listener without TLS", minimal("http: {listen: 0.0.0.0:8080}\n"), []string{
			"4:16: off loopback http needs tls",
			"4:16: off loopback http needs oidc or tls.client_ca_file: anyone could call it"}},
		{"admin without identity", minimal("admin: {listen: ':8081', tls: {cert_file: c, key_file: k}}\n"), []string{
			"4:17: off loopback admin needs oidc or tls.client_ca_file: anyone could call it"}},
		{"clients without authority", minimal("http: {clients: [{certificate: a, roles: [root]}]}\n"), []string{
			`4:43: roles[0] cannot be "root"; known here: sender, referrer, operator, viewer, provider`}},
		{"issuer in the clear", minimal("http: {oidc: {issuer: 'http://login.example.org', audience: a}}\n"), []string{
			"4:23: off loopback an issuer is https"}},
		{"mllp off loopback", strings.Replace(mllp(rule), "127.0.0.1:1", "10.0.0.1:1", 1), []string{
			"5:13: off loopback gp needs tls with client_ca_file: MLLP has no other way to know who speaks"}},
		{"names without an authority", mllp(rule + "    allow_names: [emis]\n"), []string{
			"7:18: allow_names are names of client certificates: tls.client_ca_file is missing"}},
		{"more from one address than in all", mllp(rule + "    connections: 8\n    connections_per_address: 9\n"), []string{
			"8:30: more connections from one address than there may be: connections is 8"}},
		{"mllp without a rule", mllp(""), []string{
			"3:5: gp needs kind_of_case (which codes mean A&G, which referral), or carries: [answers]"}},
		{"mllp for answers", mllp("    carries: [answers]\n"), nil},
		{"rule without codes", mllp("    kind_of_case: {from: RF1-3.1}\n"), []string{
			"6:19: kind_of_case names no code: give advice or referral"}},
		{"code of two meanings", mllp("    kind_of_case: {from: RF1-3.1, advice: [AG], referral: [AG]}\n"), []string{
			`6:19: the code "AG" means two things`}},
		{"path", mllp("    kind_of_case: {from: rf1.3, advice: [AG]}\n"), []string{"6:26: from is an HL7 path such as RF1-3.1"}},
		{"no such kind", minimal("  - {name: b, kind: mlp}\n"), []string{`4:21: kind cannot be "mlp"; did you mean "mllp"?`}},
		{"key of another kind", minimal("  - {name: b, kind: hl7http, listen: 127.0.0.1:1}\n"), []string{"4:38: listen is no key of kind hl7http"}},
		{"name", minimal("  - {name: '~case', kind: hl7http}\n"), []string{
			"4:12: name is a name of letters, digits, dots, dashes and underscores, at most 63"}},
		{"name taken", minimal("  - {name: gp, kind: hl7http}\n"), []string{"4:12: the name gp is taken at line 3"}},
		{"routes of a kind taken", minimal("  - {name: b, kind: fhir}\n"), []string{"4:21: the routes of kind fhir belong to gp already"}},
		{"folder taken", minimal("  - {name: a, kind: file, path: ./in}\n  - {name: b, kind: file, path: in/}\n"), []string{
			"5:33: a takes the files of this folder already"}},
		{"file keys", minimal("  - {name: a, kind: file, path: in, poll: 10ms, settle: 11m, listen: 127.0.0.1:1}\n"), []string{
			"4:43: poll is between 100ms and 24h0m0s",
			"4:57: settle is between 0s and 10m0s",
			"4:70: listen is no key of kind file"}},
		{"file with a connection", minimal("  - {name: a, kind: file, path: in, acknowledge: {batch: batch, when_down: close}}\n"), []string{
			"4:76: when_down is of sources of kind mllp: a waits, or is told to send again"}},
		{"file without a folder", minimal("  - {name: a, kind: file}\n"), []string{"4:5: sources[1] needs the key path"}},
		{"address taken", mllp(rule) + "admin: {listen: 127.0.0.1:1}\n", []string{"5:13: 127.0.0.1:1 is already the address of admin"}},
		{"enhanced to nobody", mllp(rule + "    acknowledge: {mode: enhanced}\n"), []string{
			"7:18: enhanced mode needs application_to: where the application acknowledgement goes"}},
		{"acknowledgements to what reads none", mllp(rule+"    acknowledge: {mode: enhanced, application_to: ag}\n") +
			"destinations: [{name: ag, kind: fhir, base_url: 'https://ag'}]\n", []string{
			"7:51: ag takes no HL7 v2: an acknowledgement goes to a destination of kind mllp"}},
		{"acknowledgements that cannot come in", minimal("destinations: [{name: epr, kind: mllp, address: 127.0.0.1:1, acknowledge: enhanced}]\n"), []string{
			"4:75: enhanced: no source that carries answers takes HL7 v2, so the application acknowledgements of epr could not come in"}},
		{"validation by a level it has not", mllp(rule + "    validate: {structure: require}\n"), []string{
			`7:27: structure cannot be "require"; did you mean "refuse"?`}},
		{"validation of what it does not know", mllp(rule + "    validate: {structur: warn}\n"), []string{
			`7:16: unknown key "structur"; did you mean "structure"?`}},
		{"tables without effect", mllp(rule + "    validate: {tables: [{table: '0001', values: [M]}]}\n"), []string{
			"7:24: tables have no effect while table is off: want table: warn or refuse"}},
		{"lengths without effect", mllp(rule + "    validate: {lengths: [{at: PID-5.1, characters: 40}]}\n"), []string{
			"7:25: lengths have no effect while length is off: want length: warn or refuse"}},
		{"a table without number", mllp(rule + "    validate: {table: warn, tables: [{table: sex, values: [M]}]}\n"), []string{
			`7:46: table is the number of a table in quotes, such as "0001"`}},
		{"a length of a repetition", mllp(rule + "    validate: {length: warn, lengths: [{at: 'PID-3[2].1', characters: 9}]}\n"), []string{
			"7:45: at is an HL7 path without [n], such as PID-5.1"}},
		{"a table twice", mllp(rule + "    validate: {table: warn, tables: [{table: '0001', values: [M]}, {table: '0001', values: [F]}]}\n"), []string{
			"7:76: table 0001 is given twice"}},
		{"a table nothing names", mllp(rule + "    validate: {table: warn, tables: [{table: '9999', values: [M]}]}\n"), []string{
			"7:46: no coded place of the standard names table 9999"}},
		{"a length of a place that is none", mllp(rule + "    validate: {length: warn, lengths: [{at: PID-99, characters: 9}]}\n"), []string{
			"7:45: PID has no field 99"}},
		{"answer to a batch", mllp(rule + "    acknowledge: {batch: all}\n"), []string{`7:26: batch cannot be "all"; known here: each, batch`}},
		{"charset to write", minimal("destinations: [{name: epr, kind: mllp, address: 127.0.0.1:1, charset: BIG-5}]\n"), []string{
			`4:71: charset cannot be "BIG-5"; known here: 8859/1, 8859/2, 8859/3, 8859/4, 8859/5, 8859/6, 8859/7, 8859/8, 8859/9, 8859/10, 8859/11, 8859/13, 8859/14, 8859/15, ASCII, CP1252, UNICODE UTF-8`}},
		{"charset to read", mllp(rule + "    charset: BIG-5\n"), nil},
		{"silent sender unknown", minimal("alarms: {sender_silent: {gq: 2h}}\n"), []string{
			`4:30: no source is called "gq"; did you mean "gp"?`}},
		{"route to nowhere", minimal("destinations: [{name: epr, kind: mllp, address: 127.0.0.1:1}]\nroutes: [{when: {}, to: [erp]}]\n"), []string{
			`5:26: no destination is called "erp"; did you mean "epr"?`}},
		{"route on an unknown event", minimal("routes: [{when: {event: triagd}, to: [a]}]\n"), []string{
			`4:25: event cannot be "triagd"; did you mean "triaged"?`}},
		{"route to the patient", minimal("destinations: [{name: p, kind: notify, base_url: 'https://n'}]\nroutes: [{when: {event: answered}, to: [p]}]\n"), []string{
			"5:41: patients are told by the rules of the pathway, not by routes: leave p out"}},
		{"outcome to e-RS", minimal("destinations: [{name: e, kind: ers, base_url: 'https://n', auth: {token: t}}]\nroutes: [{when: {event: triaged}, to: [e]}]\n"), []string{
			"5:40: e-RS takes requests: for event triaged it is told nothing"}},
		{"destination in the clear", minimal("destinations: [{name: a, kind: fhir, base_url: 'http://ag.example.org'}]\n"), []string{
			"4:48: off loopback an address is https, or needs plaintext: with the reason why that is safe"}},
		{"auth of two minds", minimal("destinations: [{name: a, kind: fhir, base_url: 'https://a', auth: {token: t, token_url: 'https://b'}}]\n"), []string{
			"4:67: auth is a token, or a token_url with client_id and key: not both"}},
		{"acts of nobody who signs in", minimal("") + "  - {name: a, kind: ers-worklist, base_url: 'https://e', services: [x], organisation: RXX01, auth: {token: t}, acts_as: SERVICE_PROVIDER_CLINICIAN}\n", []string{
			"4:121: acts_as is for users who sign in with their acts: it needs auth.token_url, and no business_function"}},
		{"an application of two organisations", minimal("") + "  - {name: a, kind: ers-worklist, base_url: 'https://e', services: [x], organisation: RXX01, auth: {token_url: 'https://e/t', client_id: app, key_file: k}}\n" +
			"  - {name: b, kind: ers-worklist, base_url: 'https://e', services: [y], organisation: RYY01, auth: {token_url: 'https://e/t', client_id: app, key_file: k}}\n", []string{
			"5:100: the application app is that of RXX01 (line 4): e-RS knows by it for whom it is asked"}},
		{"an application with two keys", minimal("destinations:\n  - {name: a, kind: fhir, base_url: 'https://a', auth: {token_url: 'https://a/t', client_id: app, key_file: k}}\n" +
			"  - {name: b, kind: fhir, base_url: 'https://b', auth: {token_url: 'https://a/t', client_id: app, key_file: l}}\n"), []string{
			"6:56: the application app has another key at line 5: it has one file of keys"}},

		{"half a certificate", minimal("destinations: [{name: a, kind: mllp, address: 'h:1', tls: {cert_file: c}}]\n"), []string{
			"4:59: cert_file and key_file go together"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, faults := parse(c.text)
			var want Faults
			for _, w := range c.want {
				var f Fault
				place, text, _ := strings.Cut(w, ": ")
				fmt.Sscanf(place, "%d:%d", &f.Line, &f.Col)
				f.File, f.Text = "gateway.yaml", text
				want = append(want, &f)
			}
			if faults.Error() != want.Error() {
				t.Errorf("got\n%s\nwant\n%s", faults.Error(), want.Error())
			}
		})
	}
}

func TestMeant(t *testing.T) {
	for word, want := range map[string]string{
		"lsiten": `did you mean "listen"?`, "Listen": `did you mean "listen"?`, "zzz": "known here: listen, tls",
	} {
		if got := meant(word, []string{"listen", "tls"}); got != want {
			t.Errorf("%s: got %s", word, got)
		}
	}
}
