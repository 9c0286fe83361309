package lift

import (
	"bytes"
	"encoding/json"
	"math/rand"
	"strings"
	"testing"
)

func TestWhatIsLiftedOfJSON(t *testing.T) {
	a, pad := encoded(96), encoded(97)
	big := string(photo(96))
	text := strings.Repeat("QUJD", 30)
	for name, c := range map[string]struct {
		in, left string // left: "" when nothing is lifted
		content  string
		plain    int
		rest     string
		broken   bool
	}{
		"data":                       {`{"data":"` + a + `"}`, `{"data":"TOKEN"}`, big, 128, "", false},
		"data, padded":               {`{"data" : "` + pad + `" , "x":1}`, `{"data" : "TOKEN" , "x":1}`, string(photo(97)), len(pad), "", false},
		"deep within":                {`[{"a":[{"data":"` + a + `"}]}]`, `[{"a":[{"data":"TOKEN"}]}]`, big, 128, "", false},
		"unknown bytes":              {`{"data":"` + text + `"}`, `{"data":"TOKEN"}`, strings.Repeat("ABC", 30), 120, "", false},
		"numbers between spaces":     {`{"data":"` + strings.Repeat("1234 ", 40) + `"}`, "", "", 0, "", false},
		"a photo with a space":       {`{"data":"` + a[:8] + " " + a[8:] + `"}`, `{"data":"TOKEN"}`, big, 8, " " + a[8:], false},
		"another key":                {`{"date":"` + a + `"}`, "", "", 0, "", false},
		"a longer key":               {`{"_data":"` + a + `","datas":"` + a + `"}`, "", "", 0, "", false},
		"a key in an escape":         {`{"\u0064ata":"` + a + `"}`, "", "", 0, "", false},
		"no key":                     {`["data","` + a + `"]`, "", "", 0, "", false},
		"a value called data":        {`{"x":"data","y":"` + a + `"}`, "", "", 0, "", false},
		"an array":                   {`{"data":["` + a + `"]}`, "", "", 0, "", false},
		"a key within a text":        {`{"x":"\"data\":\"` + a + `"}`, "", "", 0, "", false},
		"a text that ends in \\":     {`{"x":"\\","data":"` + a + `"}`, `{"x":"\\","data":"TOKEN"}`, big, 128, "", false},
		"too short":                  {`{"data":"` + a[:60] + `"}`, "", "", 0, "", false},
		"escaped slash":              {`{"data":"` + a[:80] + `\/AAA` + `"}`, `{"data":"TOKEN"}`, big[:60] + "\xfc\x00\x00", 80, `\/AAA`, false},
		"escaped letters":            {`{"data":"` + a[:80] + `\u0041\u0041\u0041\u003d` + `"}`, `{"data":"TOKEN"}`, big[:60] + "\x00\x00", 80, `\u0041\u0041\u0041\u003d`, false},
		"escaped line breaks":        {`{"data":"` + a[:82] + `\r\n\u000A\t` + a[82:] + `"}`, `{"data":"TOKEN"}`, big, 80, a[80:82] + `\r\n\u000A\t` + a[82:], false},
		"an escaped quote":           {`{"data":"` + a + `\"` + a + `","x":1}`, `{"data":"TOKEN","x":1}`, big, 128, `\"` + a, true},
		"an escaped umlaut":          {`{"data":"` + a + `\u00e4"}`, `{"data":"TOKEN"}`, big, 128, `\u00e4`, true},
		"an umlaut":                  {`{"data":"` + a + `ä"}`, `{"data":"TOKEN"}`, big, 128, `ä`, true},
		"no padding":                 {`{"data":"` + pad[:131] + `"}`, `{"data":"TOKEN"}`, string(photo(97)[:96]), 128, pad[128:131], true},
		"a line break that is none":  {`{"data":"` + a + "\n" + a + `"}`, `{"data":"TOKEN` + "\n" + a + `"}`, big, 128, "", false},
		"an escape that is none":     {`{"data":"` + a + `\q` + a + `"}`, `{"data":"TOKEN\q` + a + `"}`, big, 128, "", false},
		"a half escape":              {`{"data":"` + a + `\u00`, `{"data":"TOKEN\u00`, big, 128, "", false},
		"a string without end":       {`{"data":"` + a, `{"data":"TOKEN`, big, 128, "", false},
		"cut behind a backslash":     {`{"x":"\`, "", "", 0, "", false},
		"a byte order mark":          {"\xef\xbb\xbf" + `{"data":"` + a + `"}`, "\xef\xbb\xbf" + `{"data":"TOKEN"}`, big, 128, "", false},
		"UTF-16":                     {utf16(`{"data":"` + a + `"}`), "", "", 0, "", false},
		"no JSON":                    {"MSH|^~\\&|", "", "", 0, "", false},
		"nothing":                    {"", "", "", 0, "", false},
		"a token":                    {`{"data":"lifted00` + strings.Repeat("0123abcd", 8) + `"}`, `{"data":"TOKEN"}`, "", 72, "", false},
		"two colons":                 {`{"data"::"` + a + `"}`, "", "", 0, "", false},
		"something before the value": {`{"data":x"` + a + `"}`, "", "", 0, "", false},
	} {
		first := read(t, JSON, []byte(c.in), 1)
		for _, step := range []int{2, 3, 61, 1 << 20} {
			if !same(first, read(t, JSON, []byte(c.in), step)) {
				t.Errorf("%s: reading %d bytes at a time gives another result", name, step)
			}
		}
		if got := original(t, first); string(got) != c.in {
			t.Errorf("%s: rebuilt as %q", name, got)
		}
		if c.left == "" {
			if len(first.Parts) != 0 || string(first.Raw) != c.in {
				t.Errorf("%s: lifted %d", name, len(first.Parts))
			}
			continue
		}
		if len(first.Parts) != 1 {
			t.Errorf("%s: %d parts", name, len(first.Parts))
			continue
		}
		p := first.Parts[0]
		if c.content != "" && content(p) != c.content || p.Plain != int64(c.plain) || rest(p) != c.rest || p.Broken != c.broken || p.Path != "" {
			t.Errorf("%s: %d of %d bytes plain, rest %q, broken %v, content right: %v", name, p.Plain, c.plain, rest(p), p.Broken, content(p) == c.content)
		}
		if want := strings.Replace(c.left, "TOKEN", p.Token, 1); string(first.Raw) != want {
			t.Errorf("%s: left %q", name, first.Raw)
		}
	}
}

// Random documents, read by encoding/json: what is lifted is what it decodes, and all else is the same.
func TestALiftedDocumentIsTheSameDocument(t *testing.T) {
	lifted := 0
	for seed := range int64(3000) {
		r := rand.New(rand.NewSource(seed))
		in := randomDocument(r)
		first := read(t, JSON, in, 1<<20)
		if !same(first, read(t, JSON, in, 1+r.Intn(50))) || !bytes.Equal(original(t, first), in) {
			t.Fatalf("seed %d: read otherwise in pieces, or rebuilt as other bytes: %q", seed, in)
		}
		var was, is []map[string]any
		if err := json.Unmarshal(in, &was); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(first.Raw, &is); err != nil {
			t.Fatalf("seed %d: %v in %q, which was %q", seed, err, first.Raw, in)
		}
		parts := first.Parts
		for i := range was {
			value, isText := was[i]["data"].(string)
			if len(parts) > 0 && is[i]["data"] == parts[0].Token {
				want, err := decodeText(value)
				if !isText || (err != nil) != parts[0].Broken || err == nil && content(parts[0]) != string(want) {
					t.Fatalf("seed %d: %v, broken %v", seed, err, parts[0].Broken)
				}
				was[i]["data"], is[i]["data"], parts, lifted = nil, nil, parts[1:], lifted+1
			}
		}
		a, _ := json.Marshal(was)
		if b, _ := json.Marshal(is); !bytes.Equal(a, b) || len(parts) > 0 {
			t.Fatalf("seed %d: %q became %q", seed, in, first.Raw)
		}
	}
	if lifted < 1000 {
		t.Errorf("only %d lifted", lifted)
	}
}

func randomDocument(r *rand.Rand) []byte {
	var b strings.Builder
	b.WriteString("[")
	for i := range 1 + r.Intn(3) {
		if i > 0 {
			b.WriteString(", ")
		}
		s := encoded(20 + r.Intn(300))
		for range r.Intn(4) {
			at := r.Intn(len(s) + 1)
			for at > 0 && strings.ContainsAny(s[max(0, at-6):at], `\`) {
				at-- // not within an escape
			}
			s = s[:at] + []string{`\/`, `\n`, `\r\n`, " ", `\u0041`, `\u000a`, `\"`, `\\`, "=", "é", `\ud83d\ude00`, "*"}[r.Intn(12)] + s[at:]
		}
		b.WriteString(`{"` + []string{"data", "data", "data", "url"}[r.Intn(4)] + `":` + []string{"", " ", "\n\t"}[r.Intn(3)] + `"` + s + `","title":"data","n":1}`)
	}
	return []byte(b.String() + "]")
}
