package jpeg

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// want sees that a file is refused with a kind and a text, and quickly.
func want(t *testing.T, name string, b []byte, lim Limits, kind issue.Kind, text string) {
	t.Helper()
	began := time.Now()
	p, err := Decode(b, lim)
	if err == nil {
		t.Errorf("%s: taken as %d×%d", name, p.Width, p.Height)
		return
	}
	if i := issue.From(err); i.Kind != kind || !strings.Contains(i.Text, text) {
		t.Errorf("%s: %v, not %s %q", name, err, kind, text)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("%s: refused after %v", name, took)
	}
}

// changed gives a copy with other bytes from the n-th occurrence of some on.
func changed(t *testing.T, b []byte, find string, offset int, with ...byte) []byte {
	t.Helper()
	at := bytes.Index(b, []byte(find))
	if at < 0 {
		t.Fatalf("%x is not in the file", find)
	}
	out := bytes.Clone(b)
	copy(out[at+offset:], with)
	return out
}

func TestFormsThatAreRefusedByName(t *testing.T) {
	b := file(t, "testdata/restart-1x1.jpg")
	sof := "\xff\xc0"
	for text, photo := range map[string][]byte{
		"arithmetic-coded":  file(t, "testdata/arithmetic.jpg"),
		"lossless":          changed(t, b, sof, 1, 0xc3),
		"hierarchical":      changed(t, b, sof, 1, 0xc5),
		"8 bits a sample":   changed(t, b, sof, 4, 12),
		"height at the end": changed(t, b, sof, 5, 0, 0),
		"neither one":       changed(t, b, sof, 2, 0, 14, 8, 0, 75, 0, 101, 2),
	} {
		want(t, text, photo, Limits{}, issue.UnsupportedType, text)
	}
	for name, text := range unread {
		folder := "testdata/"
		if name == "testimgari.jpg" {
			folder = "../testdata/"
		}
		want(t, name, file(t, folder+name), Limits{}, issue.UnsupportedType, text)
	}
}

func TestBrokenFiles(t *testing.T) {
	b := file(t, "testdata/restart-2x2.jpg")
	p := file(t, "testdata/progressive-2x2.jpg")
	lost := bytes.Clone(b)
	at := bytes.Index(lost, []byte{0xff, mRST0 + 2})
	lost = append(lost[:at], lost[at+2:]...)
	single := file(t, "testdata/scan-per-component.jpg")
	second := bytes.LastIndex(single, []byte{0xff, mSOS})
	for text, photo := range map[string][]byte{
		"does not begin":               []byte("GIF89a"),
		"cut off":                      b[:300],
		"without a picture":            {0xff, mSOI, 0xff, mEOI},
		"restart marker lost":          lost,
		"begins anew":                  append(bytes.Clone(b[:len(b)-2]), b...),
		"broken quantiser":             changed(t, b, "\xff\xdb", 4, 0x2f),
		"quantiser of 0":               changed(t, b, "\xff\xdb", 9, 0),
		"broken Huffman table":         changed(t, b, "\xff\xc4", 5, 200, 200),
		"broken frame header":          changed(t, b, "\xff\xc0", 11, 0x50),
		"two components of one name":   changed(t, b, "\xff\xc0", 13, 1),
		"component that the frame":     changed(t, b, "\xff\xda", 5, 77),
		"component twice":              changed(t, b, "\xff\xda", 7, 1),
		"no Huffman table":             changed(t, b, "\xff\xda", 6, 0x33),
		"no Huffman table in scan 1":   changed(t, changed(t, b, "\xff\xda", 6, 0x33), "\xff\xda", 13, 0x10), // a sequential scan refines nothing
		"no quantiser":                 changed(t, b, "\xff\xc0", 12, 3),
		"two frames":                   append(append(bytes.Clone(b[:2]), frameOf(t, b)...), b[2:]...),
		"without all of its":           append(single[:second], 0xff, mEOI),
		"coefficients that came":       changed(t, p, "\xff\xda\x00\x08\x01\x01", 9, 0x21),
		"without width":                changed(t, b, "\xff\xc0", 7, 0, 0),
		"a broken header in scan 1":    changed(t, p, "\xff\xda", 11, 1),
		"restart interval":             changed(t, b, "\xff\xdd", 3, 5),
		"a scan before its frame":      append([]byte{0xff, mSOI}, b[bytes.Index(b, []byte{0xff, mSOS}):]...),
		"more than ten blocks in an M": changed(t, b, "\xff\xc0", 11, 0x44),
	} {
		want(t, text, photo, Limits{}, issue.Structure, text)
	}
}

func frameOf(t *testing.T, b []byte) []byte {
	at := bytes.Index(b, []byte{0xff, mSOF0})
	if at < 0 {
		t.Fatal("no frame")
	}
	return b[at : at+2+int(binary.BigEndian.Uint16(b[at+2:]))]
}

// The place of a fault inside the picture is told by scan and row.
func TestFaultsHaveTheirPlace(t *testing.T) {
	b := file(t, "testdata/restart-1x1.jpg")
	want(t, "cut off", b[:len(b)*3/4], Limits{}, issue.Structure, "cut off in scan 1, at row ")
	p := file(t, "testdata/progressive-1x1.jpg")
	at := bytes.LastIndex(p, []byte{0xff, mSOS})
	want(t, "last scan lost", append(bytes.Clone(p[:at+10]), 0xff, mEOI), Limits{}, issue.Structure, "damaged in scan 10, at row 1 of 10")
}

// Wherever a file ends, and whatever byte is wrong, there is a picture or an error.
func TestCutAndChangedFiles(t *testing.T) {
	for _, name := range []string{"restart-2x2", "progressive-4x2", "mixed-progressive", "scan-per-component"} {
		b := file(t, "testdata/"+name+".jpg")
		for n := range len(b) - 2 {
			if _, err := Decode(b[:n], Limits{}); err == nil {
				t.Fatalf("%s: the first %d bytes of %d are a picture", name, n, len(b))
			}
		}
		for i := range b {
			c := bytes.Clone(b)
			if c[i] ^= 1 << (i % 8); i%5 == 0 {
				c[i] = 0xff
			}
			if p, err := Decode(c, Limits{}); err == nil {
				if _, err := p.Encode(); err != nil && issue.From(err).Kind != issue.Structure {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestLimits(t *testing.T) {
	b := file(t, "testdata/progressive-1x1.jpg")
	want(t, "pixels", b, Limits{Pixels: 101*75 - 1}, issue.TooLong, "more pixels")
	want(t, "memory", b, Limits{Memory: 40000}, issue.TooLong, "can be held")
	want(t, "scans", b, Limits{Scans: 9}, issue.TooLong, "more scans")
	for _, lim := range []Limits{{Pixels: 101 * 75}, {Scans: 10}} {
		if _, err := Decode(b, lim); err != nil {
			t.Errorf("at its limit: %v", err)
		}
	}
	want(t, "65535×65535", changed(t, b, "\xff\xc2", 5, 255, 255, 255, 255), Limits{}, issue.TooLong, "more pixels")
	segments := append(bytes.Clone(b[:2]), bytes.Repeat([]byte{0xff, mCOM, 0, 2}, 3000)...)
	want(t, "segments", append(segments, b[2:]...), Limits{}, issue.TooLong, "more segments")
}

// A few bytes a scan can say "nothing new in 32767 blocks", thousands of times.
func TestAProgressiveBombIsRefused(t *testing.T) {
	out := []byte{0xff, mSOI}
	q := append([]byte{0}, bytes.Repeat([]byte{1}, 64)...)
	out = segment(out, mDQT, q)
	out = segment(out, mSOF2, []byte{8, 0x1f, 0x40, 0x1f, 0x40, 1, 1, 0x11, 0}) // 8000×8000
	f := frequencies{0: 5, 14 << 4: 1}                                          // codes 0 and 10
	out = f.codes().table(out, 0, 0)
	out = f.codes().table(out, 1, 0)
	out = segment(out, mSOS, []byte{1, 1, 0, 0, 0, 13})
	out = append(out, make([]byte, 1_000_000/8+1)...)
	for k := range 63 {
		for low := 13; low >= 0; low-- {
			high := byte(low+1) << 4
			if low == 13 {
				high = 0
			}
			out = segment(out, mSOS, []byte{1, 1, 0, byte(k + 1), byte(k + 1), high | byte(low)})
			w := bitWriter{out: out}
			for range 1_000_000/16384 + 1 {
				w.put(0b10<<14, 16)
			}
			w.end()
			out = w.out
		}
	}
	out = append(out, 0xff, mEOI)
	want(t, "bomb", out, Limits{}, issue.TooLong, "more scans")
}

// seeds are small files of every form, and broken ones.
func seeds(f *testing.F) {
	for _, b := range files(f) {
		if len(b) < 12000 {
			f.Add(b)
			f.Add(b[:len(b)/2])
		}
	}
	f.Add(file(f, "testdata/arithmetic.jpg"))
}

// FuzzDecode: any bytes are a picture or an *issue.Issue; a picture comes back the same from both forms.
func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b, Limits{Pixels: 1 << 20})
		if err != nil {
			if issue.From(err).Kind == issue.Internal {
				t.Fatalf("not an issue: %v", err)
			}
			return
		}
		if out, err := p.EncodeSequential(); err == nil {
			if d := differs(p, decode(t, out)); d != "" {
				t.Error("sequential: ", d)
			}
		}
		if d := differs(p, decode(t, p.EncodeProgressive())); d != "" {
			t.Error("progressive: ", d)
		}
	})
}

// FuzzMarkers: the bytes before the first scan are read in time, and rows that are streamed are no trouble.
func FuzzMarkers(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		lim := Limits{Pixels: 1 << 20}
		h, err := Inspect(b, lim)
		if err == nil && (h.Width <= 0 || h.Height <= 0 || len(h.Components) == 0) {
			t.Errorf("%d×%d", h.Width, h.Height)
		}
		var s Samples
		_ = Stream(b, lim)(func(band *Band) error {
			for i := range band.Components {
				band.Samples(i, &s)
			}
			return nil
		})
	})
}
