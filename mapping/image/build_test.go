package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	stdimage "image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

// textured is a picture that compresses like a photo: slow shades with grain over them.
func textured(w, h int) *stdimage.RGBA {
	rnd := rand.New(rand.NewSource(1))
	m := stdimage.NewRGBA(stdimage.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := 120 + 60*x/w + 30*y/h + rnd.Intn(25)
			m.SetRGBA(x, y, color.RGBA{uint8(v), uint8(v * 3 / 4), uint8(v * 2 / 3), 255})
		}
	}
	return m
}

func aJPEG(t testing.TB, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, textured(w, h), &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func aPNG(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, textured(64, 48)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func aGIF(t testing.TB, frames int) []byte {
	t.Helper()
	g := gif.GIF{LoopCount: 3}
	for range frames {
		g.Image = append(g.Image, stdimage.NewPaletted(stdimage.Rect(0, 0, 16, 12), palette.WebSafe))
		g.Delay = append(g.Delay, 10)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tag is one EXIF entry of a test: its value is a number, or bytes that are written out of line.
type tag struct {
	id     uint16
	number uint32
	bytes  []byte
}

// exifBlock writes an EXIF block in either byte order, its entries spread over the first directory and an
// EXIF directory, and behind them a thumbnail directory when asked for. It is written apart from
// exifwrite.go, so that one checks the other.
func exifBlock(order binary.AppendByteOrder, main, sub []tag, thumbnail bool) []byte {
	out := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		out = []byte("MM\x00*")
	}
	out = order.AppendUint32(out, 8)
	values := uint32(8 + 2 + 12*(len(main)+1) + 4)
	subAt := values
	for _, t := range main {
		subAt += uint32(len(t.bytes))
	}
	next := subAt + uint32(2+12*len(sub)+4)
	for _, t := range sub {
		next += uint32(len(t.bytes))
	}
	if !thumbnail {
		next = 0
	}
	out = writeTags(order, out, append(main, tag{id: tagExif, number: subAt}), next)
	out = writeTags(order, out, sub, 0)
	if thumbnail {
		out = writeTags(order, out, []tag{{id: 0x0103, number: 6}}, 0)
	}
	return out
}

func writeTags(order binary.AppendByteOrder, out []byte, tags []tag, next uint32) []byte {
	at := uint32(len(out) + 2 + 12*len(tags) + 4)
	out = order.AppendUint16(out, uint16(len(tags)))
	for _, t := range tags {
		out = order.AppendUint16(out, t.id)
		if t.bytes == nil {
			out = order.AppendUint32(order.AppendUint32(order.AppendUint16(out, 4), 1), t.number)
			continue
		}
		out = order.AppendUint32(order.AppendUint32(order.AppendUint16(out, 2), uint32(len(t.bytes))), at)
		at += uint32(len(t.bytes))
	}
	out = order.AppendUint32(out, next)
	for _, t := range tags {
		out = append(out, t.bytes...)
	}
	return out
}

// phone is the EXIF block of a photo as phones write them: everything one should not pass on.
func phone(orientation uint32) []byte {
	return exifBlock(binary.BigEndian, []tag{
		{id: 0x010f, bytes: []byte("Maker\x00")}, {id: tagOrientation, number: orientation},
		{id: 0x013b, bytes: []byte("Rosalind Testcase\x00")}, {id: tagGPS, number: 0xfffffff0},
	}, []tag{
		{id: tagCaptured, bytes: []byte("2026:11:24 10:05:00\x00")}, {id: tagZone, bytes: []byte("+01:00\x00")},
		{id: 0x927c, bytes: []byte("maker note")}, {id: 0x9286, bytes: []byte("ASCII\x00\x00\x00left forearm")},
		{id: 0xa431, bytes: []byte("SN-1234567890\x00")}, {id: 0xbeef, number: 1},
	}, true)
}

// with puts a marker segment right behind SOI.
func with(photo []byte, marker byte, data []byte) []byte {
	out := append([]byte{}, photo[:2]...)
	return append(append(out, appSegment(marker, "", data)...), photo[2:]...)
}

func withExif(photo, tiff []byte) []byte {
	return with(photo, mAPP1, append([]byte(exifName), tiff...))
}

// scans gives the entropy-coded data of a JPEG with its scan headers.
func scans(t testing.TB, b []byte) (out []byte) {
	t.Helper()
	if _, _, err := walkJPEG(inMemory(b), func(s segment) error {
		if s.marker == mSOS {
			out = append(out, b[s.whole.at:s.whole.at+s.whole.n]...)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// inMemory is the section of a file that is held.
func inMemory(b []byte) section { return newWindow(bytes.NewReader(b)).whole() }

func inspect(b []byte, lim Limits) (Facts, error) { return Inspect(bytes.NewReader(b), lim) }

func check(t *testing.T, b []byte, declared string) (Facts, issue.List) {
	t.Helper()
	f, l, err := Check(bytes.NewReader(b), declared, Limits{})
	if err != nil {
		t.Errorf("not read: %v", err)
	}
	return f, l
}

// strip gives the stripped bytes as a slice, b itself when they are those of b.
func strip(b []byte) (out []byte, removed []string, err error) {
	s, err := Strip(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	out, err = io.ReadAll(s.NewReader())
	switch {
	case err != nil:
		return nil, nil, err
	case int64(len(out)) != s.Size() || s.Changed() == bytes.Equal(out, b):
		return nil, nil, fmt.Errorf("%d bytes of %d, changed: %t", len(out), s.Size(), s.Changed())
	case !s.Changed():
		out = b
	}
	return out, s.Removed, nil
}
