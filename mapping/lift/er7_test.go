package lift

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func TestAPhotoIsTakenOut(t *testing.T) {
	value := encoded(100)
	in := oru("SRC^IM^JPEG^Base64^" + value)
	l := read(t, ER7, []byte(in), 7)
	sum := sha256.Sum256([]byte(value))
	word := "lifted00" + hex.EncodeToString(sum[:])
	if len(l.Parts) != 1 || string(l.Raw) != strings.Replace(in, value, word, 1) {
		t.Fatalf("%d parts, raw %q", len(l.Parts), l.Raw)
	}
	p := l.Parts[0]
	at := int64(strings.Index(in, value))
	if p.Path != "OBX-5[1].5" || p.Offset != at || p.At != at || p.Length != int64(len(value)) || p.Token != word || p.Encoding != "base64" {
		t.Errorf("%+v", p)
	}
	if p.SHA256 != sha256.Sum256(photo(100)) || p.SHA1 != sha1.Sum(photo(100)) || p.Size != 100 || content(p) != string(photo(100)) {
		t.Errorf("the content is not the photo: %+v", p)
	}
	if p.Plain != p.Length || p.Rest != nil || p.Broken {
		t.Errorf("canonical base64 needs nothing beside its content: %+v", p)
	}
	if l.SHA256 != sha256.Sum256([]byte(in)) || l.Size != int64(len(in)) {
		t.Error("hash and size are not those of the original")
	}
}

// each case is an OBX-5: what is lifted of it (PHOTO marks it), and what is kept beside the content.
func TestWhatIsLiftedOfOBX5(t *testing.T) {
	a := encoded(96) // 128 letters, no padding
	pad := encoded(97)
	big := string(photo(96))
	for name, c := range map[string]struct {
		value   string
		path    string // "" when it stays
		left    string // of the value, TOKEN for the token
		content string
		plain   int
		rest    string
		broken  bool
	}{
		"ED":                           {"^IM^JPEG^Base64^" + a, "OBX-5[1].5", "^IM^JPEG^Base64^TOKEN", big, len(a), "", false},
		"ED, padded":                   {"^IM^JPEG^Base64^" + pad, "OBX-5[1].5", "^IM^JPEG^Base64^TOKEN", string(photo(97)), len(pad), "", false},
		"ED without encoding":          {"^IM^JPEG^^" + a, "OBX-5[1].5", "^IM^JPEG^^TOKEN", big, len(a), "", false},
		"ED.4 in capitals":             {"^IM^^BASE64^" + a, "OBX-5[1].5", "^IM^^BASE64^TOKEN", big, len(a), "", false},
		"ED, unknown bytes, Base64":    {"^AP^^Base64^" + wrap(strings.Repeat("QUJD", 30), 200, ""), "OBX-5[1].5", "^AP^^Base64^TOKEN", strings.Repeat("ABC", 30), 120, "", false},
		"ED, unknown bytes, none said": {"^AP^^^" + strings.Repeat("QUJD", 30), "", "", "", 0, "", false},
		"ED.4 Hex":                     {"^IM^JPEG^Hex^" + a, "", "", "", 0, "", false},
		"ED.4 A":                       {"^IM^JPEG^A^" + a, "", "", "", 0, "", false},
		"ED.4 of the one before":       {"^IM^JPEG^Base64^x~^IM^JPEG^Hex^" + a, "", "", "", 0, "", false},
		"bare":                         {a, "OBX-5[1].1", "TOKEN", big, len(a), "", false},
		"bare, one long word":          {strings.Repeat("Melanoma", 30), "", "", "", 0, "", false},
		"second repetition":            {"x~^IM^JPEG^Base64^" + a, "OBX-5[2].5", "x~^IM^JPEG^Base64^TOKEN", big, len(a), "", false},
		"behind ED":                    {"^IM^JPEG^Base64^x^" + a, "", "", "", 0, "", false},
		"data url":                     {"data:image/jpeg;base64," + a, "OBX-5[1].1", "data:image/jpeg;base64,TOKEN", big, len(a), "", false},
		"data url, not base64":         {"data:image/jpeg," + a, "", "", "", 0, "", false},
		"too short":                    {a[:60], "", "", "", 0, "", false},
		"long enough":                  {a[:64], "OBX-5[1].1", "TOKEN", big[:48], 64, "", false},
		"a line break":                 {"^^^Base64^" + a[:70] + "\r\n" + a[70:], "OBX-5[1].5", "^^^Base64^TOKEN", big, 68, a[68:70] + "\r\n" + a[70:], false},
		"a line break early":           {"^^^Base64^" + a[:10] + "\n" + a[10:], "OBX-5[1].5", "^^^Base64^TOKEN", big, 8, a[8:10] + "\n" + a[10:], false},
		"a line break first":           {"^^^Base64^\r" + a, "OBX-5[1].5", "^^^Base64^TOKEN", big, 0, "\r" + a, false},
		"blank lines":                  {a[:100] + "\r \r\r\n" + a[100:], "OBX-5[1].1", "TOKEN", big, 100, "\r \r\r\n" + a[100:], false},
		"white space":                  {a[:80] + " \t" + a[80:], "OBX-5[1].1", "TOKEN", big, 80, " \t" + a[80:], false},
		"escaped line break":           {a[:80] + `\X0D0A\` + a[80:], "OBX-5[1].1", "TOKEN", big, 80, `\X0D0A\` + a[80:], false},
		"formatted line break":         {a[:81] + `\.br\` + a[81:], "OBX-5[1].1", "TOKEN", big, 80, a[80:81] + `\.br\` + a[81:], false},
		"letters of another alphabet":  {"^IM^JPEG^Base64^" + a[:80] + "-_" + a[82:], "OBX-5[1].5", "^IM^JPEG^Base64^TOKEN", big[:60], 80, "-_" + a[82:], true},
		"escaped letter":               {a[:80] + `\X41\`, "OBX-5[1].1", "TOKEN", big[:60], 80, `\X41\`, true},
		"escaped delimiter":            {a[:80] + `\T\` + a[80:], "OBX-5[1].1", "TOKEN", big[:60], 80, `\T\` + a[80:], true},
		"lone escape character":        {a[:80] + `\` + a[80:], "OBX-5[1].1", "TOKEN", big[:60], 80, `\` + a[80:], true},
		"a bad byte":                   {a[:90] + "*" + a[90:], "OBX-5[1].1", "TOKEN", big[:66], 88, a[88:90] + "*" + a[90:], true},
		"a bad byte and a delimiter":   {a[:90] + "*" + a[90:] + "^x", "OBX-5[1].1", "TOKEN^x", big[:66], 88, a[88:90] + "*" + a[90:], true},
		"a sub-component":              {a + "&x", "OBX-5[1].1", "TOKEN", big, 128, "&x", true},
		"no padding":                   {pad[:len(pad)-1], "OBX-5[1].1", "TOKEN", string(photo(97)[:96]), 128, pad[128 : len(pad)-1], true},
		"cut":                          {a[:127], "OBX-5[1].1", "TOKEN", big[:93], 124, a[124:127], true},
		"data behind padding":          {pad + a, "OBX-5[1].1", "TOKEN", string(photo(97)), len(pad), a, true},
		"space behind padding":         {pad + " ", "OBX-5[1].1", "TOKEN", string(photo(97)), len(pad), " ", false},
		"trailing bits":                {a + "QR==", "OBX-5[1].1", "TOKEN", big, 128, "QR==", true},
		"padding in place of letters":  {a + "Q===", "OBX-5[1].1", "TOKEN", big, 128, "Q===", true},
		"broken before it is long":     {"^IM^JPEG^Base64^" + a[:30] + "*" + a[30:], "", "", "", 0, "", false},
		"MLLP bytes within":            {a[:80] + "\x1c" + a[80:], "OBX-5[1].1", "TOKEN", big[:60], 80, "\x1c" + a[80:], true},
	} {
		in := oru(c.value)
		var first *Lifted
		for _, step := range []int{1, 2, 3, 64, 1 << 20} {
			l := read(t, ER7, []byte(in), step)
			if got := original(t, l); string(got) != in {
				t.Fatalf("%s: rebuilt as %q", name, got)
			}
			if first == nil {
				first = l
			} else if !same(first, l) {
				t.Fatalf("%s: reading %d bytes at a time gives another result", name, step)
			}
		}
		if c.path == "" {
			if len(first.Parts) != 0 || string(first.Raw) != in {
				t.Errorf("%s: lifted %d", name, len(first.Parts))
			}
			continue
		}
		if len(first.Parts) != 1 {
			t.Errorf("%s: %d parts", name, len(first.Parts))
			continue
		}
		p := first.Parts[0]
		if p.Path != c.path || content(p) != c.content || p.Plain != int64(c.plain) || rest(p) != c.rest || p.Broken != c.broken {
			t.Errorf("%s: %s, %d of %d bytes plain, rest %q, broken %v, content right: %v", name, p.Path, p.Plain, c.plain, rest(p), p.Broken, content(p) == c.content)
		}
		if want := oru(strings.Replace(c.left, "TOKEN", p.Token, 1)); string(first.Raw) != want {
			t.Errorf("%s: left %q", name, first.Raw)
		}
	}
}

// same compares two results of the same bytes.
func same(a, b *Lifted) bool {
	if !bytes.Equal(a.Raw, b.Raw) || a.SHA256 != b.SHA256 || a.Size != b.Size || len(a.Parts) != len(b.Parts) {
		return false
	}
	for i := range a.Parts {
		p, q := a.Parts[i], b.Parts[i]
		if content(p) != content(q) || rest(p) != rest(q) || (p.Rest == nil) != (q.Rest == nil) {
			return false
		}
		p.Content, p.Rest, q.Content, q.Rest = nil, nil, nil, nil
		if p != q {
			return false
		}
	}
	return true
}

// each case is a whole message; PHOTO stands for a photo, and what is lifted is named by its path.
func TestWhereAPhotoMayStand(t *testing.T) {
	a := encoded(96)
	msh := "MSH|^~\\&|A|B|C|D|20260105||ORU^R01|1|P|2.4\r"
	for name, c := range map[string]struct{ in, paths string }{
		"OBX-5":                             {msh + "OBX|1|ED|X||PHOTO|", "OBX-5[1].1"},
		"no other field":                    {msh + "OBX|1|PHOTO|X|PHOTO||PHOTO|\rOBX|2|ED|X||PHOTO", "OBX[2]-5[1].1"},
		"no other segment":                  {msh + "NTE|1||X||PHOTO\rZBX|1|ED|X||PHOTO\rOBX1|1|ED|X||PHOTO", ""},
		"the end of the input":              {msh + "OBX|1|ED|X||PHOTO", "OBX-5[1].1"},
		"several":                           {msh + "OBX|1|ED|X||PHOTO~PHOTO\rOBX|2|ED|X||PHOTO^PHOTO", "OBX-5[1].1 OBX-5[2].1 OBX[2]-5[1].1 OBX[2]-5[1].2"},
		"LF":                                {strings.ReplaceAll(msh, "\r", "\n") + "OBX|1|ED|X||PHOTO\nOBX|1|ED|X||PHOTO\n", "OBX-5[1].1 OBX[2]-5[1].1"},
		"CRLF":                              {strings.ReplaceAll(msh, "\r", "\r\n") + "OBX|1|ED|X||PHOTO\r\nOBX|1|ED|X||PHOTO\r\n", "OBX-5[1].1 OBX[2]-5[1].1"},
		"a byte order mark":                 {"\xef\xbb\xbf" + msh + "OBX|1|ED|X||PHOTO", "OBX-5[1].1"},
		"filler before":                     {"\x0b \r\n\x00\t" + msh + "OBX|1|ED|X||PHOTO", "OBX-5[1].1"},
		"MLLP bytes left in":                {"\x0b" + msh + "\x0bOBX|1|ED|X||PHOTO\x1c\x1c\r\x1c\r", "OBX-5[1].1"},
		"other delimiters":                  {"MSH#!@%*#A\rOBX#1#ED#X##x!y@z!PHOTO#", "OBX-5[2].2"},
		"a delimiter that is a letter":      {"MSH|^~\\+|A\rOBX|1|ED|X||PHOTO", ""},
		"a delimiter that is padding":       {"MSH=^~\\&=A\rOBX=1=ED=X==PHOTO", ""},
		"no component delimiters":           {"MSH|^\rOBX|1|ED|X||x^PHOTO|", "OBX-5[1].2"},
		"a wrapped field 3":                 {msh + "OBX|1|ED|long long\rlong long||PHOTO", "OBX-5[1].1"},
		"a wrapped line with delimiters":    {msh + "OBX|1|ED|X||^IM\r^JPEG^Base64^PHOTO\r=|||||||F", "OBX-5[1].5"},
		"a line that begins with one":       {msh + "OBX|1|ED|X||^IM^JPEG^Base64^PHOTO\r|||||||F", "OBX-5[1].5"},
		"a line that is no segment":         {msh + "OBX|1|ED|X||x\r|||PHOTO", ""},
		"the rest of an NTE":                {msh + "OBX|1|ED|X||x\rNTE|1||text\rtext||ED|X||PHOTO", ""},
		"a batch":                           {"FHS|^~\\&|A\rBHS|^~\\&|A\r" + msh + "OBX|1|ED|X||PHOTO\rMSH#!@%*#A\rOBX#1#ED#X##PHOTO\rOBX#1#ED#X##PHOTO\rBTS|2\rFTS|1\r", "OBX-5[1].1 OBX-5[1].1 OBX[2]-5[1].1"},
		"outside of a message":              {"FHS|^~\\&|A\rOBX|1|ED|X||PHOTO\r", ""},
		"behind a header that is broken":    {msh + "OBX|1|ED|X||PHOTO\rMSH|||\rOBX|1|ED|X||PHOTO", "OBX-5[1].1"},
		"a token":                           {msh + "OBX|1|ED|X||^^^Base64^lifted00" + strings.Repeat("0123abcd", 8), "OBX-5[1].5"},
		"no HL7":                            {"OBX|1|ED|X||PHOTO", ""},
		"nothing":                           {"", ""},
		"filler only":                       {"\xef\xbb\xbf\r\n \r", ""},
		"cut in the name":                   {msh + "OB", ""},
		"cut in the header":                 {"MSH|^~", ""},
		"an empty OBX":                      {msh + "OBX\rOBX|1|ED|X||PHOTO", "OBX[2]-5[1].1"},
		"UTF-16":                            {utf16(msh + "OBX|1|ED|X||" + a), ""},
		"a payload, then NULs":              {msh + "OBX|1|ED|X||PHOTO\r" + strings.Repeat("\x00", 1000), "OBX-5[1].1"},
		"a payload, then NULs, then a line": {msh + "OBX|1|ED|X||PHOTO" + strings.Repeat("\r\x00", 1000) + "\rABCDEFGH", "OBX-5[1].1"},
	} {
		in := []byte(strings.ReplaceAll(c.in, "PHOTO", a))
		first := read(t, ER7, in, 1)
		var paths []string
		for _, p := range first.Parts {
			paths = append(paths, p.Path)
		}
		if got := strings.Join(paths, " "); got != c.paths {
			t.Errorf("%s: lifted %q, want %q", name, got, c.paths)
		}
		if !bytes.Equal(original(t, first), in) || !same(first, read(t, ER7, in, 1<<20)) {
			t.Errorf("%s: rebuilt as other bytes, or read otherwise in one piece", name)
		}
		if err := alike(in, first); err != "" {
			t.Errorf("%s: %s", name, err)
		}
	}
}

func utf16(s string) string {
	b := []byte{0xff, 0xfe}
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return string(b)
}
