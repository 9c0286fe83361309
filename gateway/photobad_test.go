package main

import (
	"bytes"
	"compress/zlib"
	order "encoding/binary"
	"encoding/json"
	"fmt"
	stdimage "image"
	"image/color"
	"image/gif"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/mapping/image/dicom"
)

// What is sent by mistake or malice is refused or cleaned, and told by name and place, in little time and memory. Each goes
// through the built program alone, with its own memory; the time of a worker counts with it.
func TestBadPhotos(t *testing.T) {
	t.Parallel()
	photo := photos.Lesion{Seed: 4, View: photos.CloseUp, Width: 320, Height: 240, Quality: 90}.JPEG()
	private := photos.WithPrivate(photo, 6)
	script := []byte("<!doctype html><script>alert(1)</script>")
	archive := append([]byte("PK\x03\x04\x14\x00"), bytes.Repeat([]byte{0}, 200)...)
	film := manyFrames(t, 2000)
	frame := bytes.Index(photo, []byte{0xff, 0xc0}) + 5 // where the sides stand
	for _, c := range []struct {
		name string
		file []byte
		most int    // bytes that the destination takes; 0: any number
		want string // the step, or what a refusal says
		gone string // what is removed by name
	}{
		{"zero bytes.jpg", nil, 0, "an empty file", ""},
		{"truncated in its head.jpg", private[:300], 0, "cut off", ""},
		{"truncated in its picture.jpg", private[:len(private)*3/4], 0, "cut off", ""},
		{"truncated and too large.jpg", append(photo[:len(photo)/2:len(photo)/2], 0xff, 0xd9), 9_000, "scan 1, at row ", ""},
		{"65535 by 65535.jpg", patched(photo, frame, 0xff, 0xff, 0xff, 0xff), 0, "more pixels than the limit", ""},
		{"no height.jpg", patched(photo, frame, 0, 0), 0, "without width or height", ""},
		{"20000 by 20000.png", blankPNG(20_000, 20_000), 0, "more pixels than the limit", ""},
		{"7000 by 7000.png", blankPNG(7000, 7000), 1000, "cannot be brought to 1000 bytes", ""},
		{"truncated.png", blankPNG(300, 300)[:70], 0, "cut off", ""},
		{"wrong checksum.png", patched(blankPNG(300, 300), 20, 7), 0, "wrong checksum", ""},
		{"2000 frames.gif", film, 0, "more frames", ""},
		{"2000 restart markers lost.jpg", lostRestarts(t, 2000), 60_000, "restart marker lost in scan 1, at row 1 of ", ""},
		{"a chain of EXIF directories.jpg", withSegment(photo, 0xe1, append([]byte("Exif\x00\x00"), chainedExif(1000)...)), 0, "stripped", "exif thumbnail"},
		{"an EXIF directory that is its own next.jpg", withSegment(photo, 0xe1, append([]byte("Exif\x00\x00"), chainedExif(0)...)), 0, "stripped", "exif"},
		{"a profile of 10 MB.jpg", largeProfile(photo), 0, "a colour profile larger than any device has", ""},
		{"20,000 comments.jpg", withComments(photo, 20_000), 0, "more segments", ""},
		{"a document.jpg", []byte("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj\ntrailer<<>>\n%%EOF"), 0, "PDF is not taken there", ""},
		{"a page that holds a photo.jpg", slices.Concat(script, photo), 0, "HTML can hold scripts", ""},
		{"a photo that is a page.jpg", append(withSegment(photo, 0xfe, script), script...), 0, "stripped", "comment trailing"},
		{"a photo with a page for a thumbnail.jpg", withSegment(photo, 0xe0, slices.Concat([]byte("JFXX\x00\x10"), script)), 0, "stripped", "thumbnail"},
		{"a photo with an archive behind.jpg", append(bytes.Clone(photo), archive...), 0, "stripped", "trailing"},
		{"a photo with a document before.jpg", slices.Concat([]byte("   %PDF-1.4\n"), photo), 0, "PDF is not taken there", ""},
		{"a drawing.jpg", []byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), 0, "can hold scripts", ""},
		{"a drawing without a script.png", []byte(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>`), 0, "SVG can hold scripts", ""},
		{"an archive.jpg", archive, 0, "ZIP archives are not taken", ""},
		{"nothing known.jpg", bytes.Repeat([]byte{1, 2, 3, 250}, 500), 0, "no known type", ""},
		{"a film.jpg", append([]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"), make([]byte, 400)...), 0, "video is not taken", ""},
		{"two photos in one.jpg", slices.Concat(photo[:len(photo)-2], photo), 0, "begins anew inside itself", ""},
		{"a HEIC cut off.heic", sample(t, "cheers_1440x960.heic")[:20_000], 0, "cut off", ""},
		{"a DICOM cut off.dcm", wrapped(t, photo, "9990548609")[:2_000], 0, "DICOM", ""},
		{"a DICOM of 60000 by 60000.dcm", largeDICOM(t, photo), 0, "pixels that a photo may have", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, peak, took := judgedAlone(t, c.name, c.file, c.most)
			said := a.Step
			if len(a.Issues) > 0 {
				said = a.Issues[0].Text
			}
			if !strings.Contains(said, c.want) || strings.Join(a.Removed, " ") != c.gone {
				t.Errorf("%q, removed %v; want %q, %s", said, a.Removed, c.want, c.gone)
			}
			t.Logf("%d bytes: %s; %.0f MB, %v", len(c.file), said, peak, took)
			if peak > 300 || took > 20*time.Second {
				t.Errorf("%.0f MB, %v of processor time", peak, took)
			}
		})
	}
}

// judgedAlone runs gateway photo of the built program for a destination as e-RS is, and gives the largest resident size in MB
// that it was seen with, and its processor time.
func judgedAlone(t *testing.T, name string, file []byte, most int) (a photoAnswer, peak float64, took time.Duration) {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(in, file, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "photo", "--types", "jpeg,png,gif,tiff,dicom", "--max-bytes", fmt.Sprint(most), in)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak, err = watch(cmd)
	if e := json.Unmarshal(out.Bytes(), &a); e != nil {
		t.Fatalf("%s: %v, %v", out.Bytes(), err, e)
	}
	return a, peak, cmd.ProcessState.UserTime()
}

// patched gives a copy with other bytes at a place.
func patched(b []byte, at int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

// blankPNG has a bit a pixel, all of them 0.
func blankPNG(w, h int) []byte {
	var rows bytes.Buffer
	z, _ := zlib.NewWriterLevel(&rows, zlib.BestCompression)
	row := make([]byte, 1+(w+7)/8)
	for range h {
		z.Write(row)
	}
	z.Close()
	head := order.BigEndian.AppendUint32(order.BigEndian.AppendUint32(nil, uint32(w)), uint32(h))
	return slices.Concat([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", append(head, 1, 0, 0, 0, 0)), pngChunk("IDAT", rows.Bytes()), pngChunk("IEND", nil))
}

func manyFrames(t *testing.T, n int) []byte {
	t.Helper()
	one := stdimage.NewPaletted(stdimage.Rect(0, 0, 8, 8), color.Palette{color.Gray{0}, color.Gray{255}})
	film := gif.GIF{Image: slices.Repeat([]*stdimage.Paletted{one}, n), Delay: make([]int, n)}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &film); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// lostRestarts says that a restart marker comes after every MCU, and has none.
func lostRestarts(t *testing.T, mcus int) []byte {
	t.Helper()
	side := 16
	for side*side/256 < mcus {
		side += 16
	}
	photo := photos.Lesion{Seed: 4, View: photos.CloseUp, Width: side, Height: side, Quality: 90}.JPEG()
	return withSegment(photo, 0xdd, []byte{0, 1})
}

// chainedExif is a chain of so many directories; of none: one whose next is itself.
func chainedExif(n int) []byte {
	out := []byte("II*\x00\x08\x00\x00\x00")
	for i := range max(n, 1) {
		out = append(out, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0)
		next := uint32(8 + 18*(i+1))
		if n == 0 {
			next = 8
		}
		out = order.LittleEndian.AppendUint32(out, next)
	}
	return out
}

func largeProfile(photo []byte) []byte {
	part := append([]byte("ICC_PROFILE\x00\x01\xff"), make([]byte, 65_000)...)
	var parts []byte
	for range 160 {
		parts = append(append(parts, 0xff, 0xe2, byte((len(part)+2)>>8), byte(len(part)+2)), part...)
	}
	return slices.Concat(photo[:2], parts, photo[2:])
}

func withComments(photo []byte, n int) []byte {
	return slices.Concat(photo[:2], bytes.Repeat([]byte{0xff, 0xfe, 0, 3, 'x'}, n), photo[2:])
}

// largeDICOM says that it has many rows and columns.
func largeDICOM(t *testing.T, photo []byte) []byte {
	t.Helper()
	b, err := dicom.Wrap(photo, dicom.Wrapping{PatientID: "9990548609", Study: "2.25.1", Series: "2.25.2", Instance: "2.25.3", Number: 1,
		Captured: time.Date(2026, 11, 24, 10, 5, 0, 0, time.UTC), Width: 320, Height: 240, Samples: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []string{"\x28\x00\x10\x00US\x02\x00", "\x28\x00\x11\x00US\x02\x00"} {
		at := bytes.Index(b, []byte(side))
		if at < 0 {
			t.Fatal("no side in it")
		}
		copy(b[at+len(side):], "\x60\xea")
	}
	return b
}
