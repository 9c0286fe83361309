package hl7

import (
	"bytes"
	"testing"
)

func TestTextRendersEscapes(t *testing.T) {
	tests := map[string]string{
		`plain`:                          "plain",
		`\F\\S\\T\\R\\E\`:                `|^&~\`,
		`advice \T\ guidance`:            "advice & guidance",
		`a\.br\b\.BR\c`:                  "a\nb\nc",
		`a\.sp\b\.sp2\c\.sp+1\d\.sp 3\e`: "a\nb\n\nc\nd\n\n\ne",
		`a\.sk3\b\.ti+2\c`:               "a   b  c",
		`\.in+4\\.fi\a\.nf\b\.ce\c`:      "ab\nc",
		`\H\bold\N\ plain`:               "bold plain",
		`\X0D0A\`:                        "\r\n",
		`\X41c3a9\`:                      "Aé",
		`\X4\ \X\ \XZZ\`:                 `\X4\ \X\ \XZZ\`,
		`\Zlocal\\Zx\\S\`:                `\Zlocal\\Zx\^`,
		`\C2842\ \M1B2442\`:              `\C2842\ \M1B2442\`,
		`C:\temp\new`:                    `C:\temp\new`,
		`a\b\F\c`:                        `a\b|c`,
		`\\`:                             `\\`,
		`end\`:                           `end\`,
		`\P\`:                            `\P\`,
		`\.sp999999999\`:                 string(bytes.Repeat([]byte("\n"), maxSpace)),
		`\.sp-5\x`:                       "x",
		`\.zz\ \.\ \.brx\`:               `\.zz\ \.\ \.brx\`,
		`\f\`:                            `\f\`,
		`a & b unescaped`:                `a & b unescaped`,
	}
	for in, want := range tests {
		m := mustParse(t, header+"\rNTE|1||"+in)
		v := m.Get(MustPath("NTE-3"))
		if got := v.Text(); got != want {
			t.Errorf("%s reads %q, want %q", in, got, want)
		}
		if got := string(v.AppendText([]byte("x"))); got != "x"+want {
			t.Errorf("%s appends %q", in, got)
		}
	}
}

func TestAppendBytesLeavesTheCharacterSetAlone(t *testing.T) {
	m := mustParse(t, "MSH|^~\\&|A|B|C|D|1||ORU^R01|1|P|2.4||||||8859/1\rOBX|1|ED|||^^^A^\\XFFD8\\\xe9\\F\\")
	v := m.Get(MustPath("OBX-5.5"))
	if got := v.AppendBytes(nil); !bytes.Equal(got, []byte{0xff, 0xd8, 0xe9, '|'}) {
		t.Errorf("got % x", got)
	}
	if got := v.Text(); got != "ÿØé|" {
		t.Errorf("text is %q", got)
	}
}

func TestEscapedTextCannotEndAnything(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	d := Delimiters{Field: '#', Component: '!', Repetition: '@', Escape: '%', Subcomponent: '*', Truncation: '$'}
	for _, d := range []Delimiters{Standard(), d, {Field: '|', Component: '^'}} {
		out := AppendEscaped(nil, all, d)
		for _, c := range []byte{d.Field, d.Component, d.Repetition, d.Subcomponent, '\r', '\n', 0x0b, 0x1c} {
			if c != 0 && bytes.IndexByte(out, c) >= 0 {
				t.Errorf("%+v: byte %#x came through", d, c)
			}
		}
		if d.Escape == 0 {
			continue
		}
		if back := appendUnescaped(nil, out, &d); !bytes.Equal(back, all) {
			t.Errorf("%+v: reads back as %q", d, back)
		}
	}
}

// TestEscapesUnderOtherDelimiters: what a message declares is what its sequences mean, the truncation
// character of v2.7 included; the standard ones are then text.
func TestEscapesUnderOtherDelimiters(t *testing.T) {
	for _, tt := range []struct{ delimiters, in, text string }{
		{`#!@%*$`, `%F%%S%%T%%R%%E%%P%`, "#!*@%$"},
		{`#!@%*`, `%F%%P%`, "#%P%"}, // no truncation character declared
		{`#!@%*`, `a|b^c~d\e&f \F\`, `a|b^c~d\e&f \F\`},
		{`#!@%*`, `%.br%%X41%%Zx%%H%b%N%%.sp+2%c`, "\nA%Zx%b\n\nc"},
		{`|^~\&#`, `cut#`, "cut#"}, // said to be cut: not for the text to hide
		{`|^~\&#`, `\P\1`, "#1"},
		{`|^~`, `\F\`, `\F\`}, // no escape character: nothing to render
	} {
		field := tt.delimiters[:1]
		m := mustParse(t, "MSH"+tt.delimiters+field+"A\rNTE"+field+"1"+field+field+tt.in)
		if got := m.Get(MustPath("NTE-3")).Text(); got != tt.text {
			t.Errorf("%s: %s reads %q, want %q", tt.delimiters, tt.in, got, tt.text)
		}
	}
}

// TestEverySequenceOfTheStandard (HL7 v2.8 §2.7) is rendered or stands as it is, beside text on both sides.
func TestEverySequenceOfTheStandard(t *testing.T) {
	for in, want := range map[string]string{
		`F`: "|", `S`: "^", `T`: "&", `R`: "~", `E`: `\`, `H`: "", `N`: "",
		`X41`: "A", `X0d`: "\r", `X0D0A`: "\r\n", `XC3A9`: "é", `X00`: "\x00",
		`.br`: "\n", `.ce`: "\n", `.sp`: "\n", `.sp2`: "\n\n", `.sp+2`: "\n\n", `.sp0`: "", `.SP1`: "\n",
		`.sk`: " ", `.sk2`: "  ", `.sk+2`: "  ", `.ti3`: "   ", `.ti+3`: "   ", `.ti-3`: "", `.in4`: "", `.in+4`: "", `.in-4`: "", `.fi`: "", `.nf`: "",
		`P`: `\P\`, `Z`: `\Z\`, `Zab1`: `\Zab1\`, `C2842`: `\C2842\`, `M2442`: `\M2442\`, `M242844`: `\M242844\`, // not known here
		``: `\\`, `Q`: `\Q\`, `f`: `\f\`, `x41`: `\x41\`, `X`: `\X\`, `X4`: `\X4\`, `X4G`: `\X4G\`, `HH`: `\HH\`, `EE`: `\EE\`,
		`.`: `\.\`, `.b`: `\.b\`, `.xx`: `\.xx\`, `.sp-`: `\.sp-\`, `.spa`: `\.spa\`, `. br`: `\. br\`, `.sp++1`: `\.sp++1\`,
	} {
		v := mustParse(t, header+`|a\`+in+`\z`).Segment(0).Field(13)
		if got := v.Text(); got != "a"+want+"z" {
			t.Errorf("%s reads %q, want %q", in, got, "a"+want+"z")
		}
		if got := v.Raw(); string(got) != `a\`+in+`\z` {
			t.Errorf("%s: raw is %q", in, got)
		}
	}
}
