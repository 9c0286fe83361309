package image

import (
	"bytes"
	"encoding/binary"
	stdimage "image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/webp"

	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/mapping/issue"
)

func TestStripJPEGTakesThePrivateAndLeavesThePicture(t *testing.T) {
	plain := aJPEG(t, 64, 48)
	profile := append([]byte("ICC_PROFILE\x00\x01\x01"), bytes.Repeat([]byte{7}, 300)...)
	jfif := append([]byte("JFIF\x00\x01\x02\x01\x01\x2c\x01\x2c\x01\x01"), 1, 2, 3) // 300 dpi, a thumbnail of one pixel
	dirty := append(plain[:len(plain):len(plain)], "PK\x03\x04 trailing"...)
	for _, s := range []struct {
		marker byte
		data   []byte
	}{
		{mAPP14, []byte("Adobe\x00\x64\x00\x00\x00\x00\x01Rosalind")}, {mAPP2, profile}, {mAPP2, []byte("MPF\x00II*\x00")},
		{mCOM, []byte("Rosalind Testcase")}, {mAPP13, []byte("Photoshop 3.0\x008BIM")}, {0xec, []byte("Ducky Rosalind")},
		{mAPP1, []byte("http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta/>")},
		{mAPP1, append([]byte(exifName), phone(6)...)}, {mAPP0, jfif},
	} {
		dirty = with(dirty, s.marker, s.data)
	}
	out, removed, err := strip(dirty)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"application-data", "camera-settings", "comment", "gps", "iptc", "maker-note", "mpf", "other", "owner", "serial", "thumbnail", "trailing", "xmp"}
	if !slices.Equal(removed, want) {
		t.Errorf("removed %v,\nwant    %v", removed, want)
	}
	for _, left := range []string{"Rosalind", "SN-123", "forearm", "Maker", "maker", "MPF", "8BIM", "xmpmeta", "PK"} {
		if bytes.Contains(out, []byte(left)) {
			t.Errorf("%q is still in the file", left)
		}
	}
	f, err := inspect(out, Limits{})
	if err != nil || len(f.Private) > 0 {
		t.Fatalf("left: %v (%v)", f.Private, err)
	}
	if f.Orientation != 6 || f.Captured != "2026:11:24 10:05:00" || f.Zone != "+01:00" || !f.ICC || f.Width != 64 || f.Height != 48 || f.Depth != 8 {
		t.Errorf("lost: %+v", f)
	}
	if !bytes.Contains(out, profile) || !bytes.Contains(out, jfif[:12]) {
		t.Error("the colour profile or the density changed")
	}
	if !bytes.Equal(scans(t, plain), scans(t, out)) {
		t.Error("the compressed pixels changed")
	}
	if again, removed, err := strip(out); err != nil || len(removed) != 0 || &again[0] != &out[0] {
		t.Errorf("a stripped photo is stripped again: %v %v", removed, err)
	}
}

func TestStripLeavesAPhotoWithoutPrivateMetadataAlone(t *testing.T) {
	harmless := exifBlock(binary.LittleEndian, []tag{{id: 0x0110, bytes: []byte("Model\x00")}, {id: tagOrientation, number: 3}}, []tag{{id: 0x829a, number: 0}}, false)
	photo := withExif(aJPEG(t, 64, 48), harmless)
	out, removed, err := strip(photo)
	if err != nil || removed != nil || &out[0] != &photo[0] {
		t.Errorf("%v %v", removed, err)
	}
}

// Photos of other people's test suites, which real devices and programs wrote.
func TestStripRealPhotos(t *testing.T) {
	names, err := filepath.Glob("testdata/*.jpg")
	if err != nil || len(names) < 15 {
		t.Fatalf("%d photos, %v", len(names), err)
	}
	for _, name := range append(names, "testdata/frame_size.mpo") {
		b := sample(t, filepath.Base(name))
		before, err := inspect(b, Limits{})
		if err != nil {
			continue // TestRealFiles says which and why
		}
		out, removed, err := strip(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		after, err := inspect(out, Limits{})
		if err != nil || len(after.Private) > 0 || (len(removed) == 0) != bytes.Equal(out, b) {
			t.Errorf("%s: removed %v, left %v, %v", name, removed, after.Private, err)
		}
		after.Bytes, after.Private, before.Private = before.Bytes, nil, nil
		if before.Bytes, after.Bytes = 0, 0; !same(before, after) {
			t.Errorf("%s: %+v became %+v", name, before, after)
		}
		samePicture(t, name, b, out)
	}
}

// The photo of the demo and the conversations, as a phone would have sent it.
func TestStripThePhotoOfTheFixtures(t *testing.T) {
	b, err := photos.File("L2-overview.jpg")
	if err != nil {
		t.Fatal(err)
	}
	out, removed, err := strip(b)
	if want := []string{"camera-settings", "comment", "gps", "owner", "serial"}; err != nil || !slices.Equal(removed, want) {
		t.Fatalf("%v %v", removed, err)
	}
	f, err := inspect(out, Limits{})
	if err != nil || f.Orientation != 6 || f.Captured != "2026:11:24 10:05:00" || f.Zone != "+00:00" || len(f.Private) > 0 {
		t.Errorf("%+v %v", f, err)
	}
	samePicture(t, "L2-overview.jpg", b, out)
}

func same(a, b Facts) bool {
	return a.Width == b.Width && a.Height == b.Height && a.Orientation == b.Orientation && a.ICC == b.ICC && a.Captured == b.Captured && a.Zone == b.Zone
}

// samePicture decodes both, or neither where the file is one that Go does not read.
func samePicture(t *testing.T, name string, a, b []byte) {
	t.Helper()
	x, errX := jpeg.Decode(bytes.NewReader(a))
	y, errY := jpeg.Decode(bytes.NewReader(b))
	if (errX == nil) != (errY == nil) {
		t.Errorf("%s: decodes before: %v, after: %v", name, errX, errY)
	} else if errX == nil && !equalPixels(x, y) {
		t.Errorf("%s: pixels changed", name)
	}
}

func equalPixels(x, y stdimage.Image) bool {
	if x.Bounds() != y.Bounds() {
		return false
	}
	r := x.Bounds()
	for j := r.Min.Y; j < r.Max.Y; j++ {
		for i := r.Min.X; i < r.Max.X; i++ {
			if x.At(i, j) != y.At(i, j) {
				return false
			}
		}
	}
	return true
}

func TestStripPNG(t *testing.T) {
	plain := aPNG(t)
	dirty := append([]byte{}, plain[:33]...)
	dirty = appendChunk(dirty, "pHYs", []byte{0, 0, 0x2e, 0x23, 0, 0, 0x2e, 0x23, 1})
	dirty = appendChunk(dirty, "tEXt", []byte("Author\x00Rosalind Testcase"))
	dirty = appendChunk(dirty, "tIME", make([]byte, 7))
	dirty = appendChunk(dirty, "iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00<x:xmpmeta/>"))
	dirty = appendChunk(dirty, "eXIf", phone(3))
	dirty = append(append(dirty, plain[33:]...), "trailing"...)
	out, removed, err := strip(dirty)
	want := []string{"application-data", "camera-settings", "comment", "gps", "maker-note", "other", "owner", "serial", "thumbnail", "trailing", "xmp"}
	if err != nil || !slices.Equal(removed, want) {
		t.Fatalf("%v %v", removed, err)
	}
	f, err := inspect(out, Limits{})
	if err != nil || f.Orientation != 3 || f.Captured == "" || len(f.Private) > 0 || !bytes.Contains(out, []byte("pHYs")) || bytes.Contains(out, []byte("Rosalind")) {
		t.Errorf("%+v %v", f, err)
	}
	a, _ := png.Decode(bytes.NewReader(plain))
	b, err := png.Decode(bytes.NewReader(out))
	if err != nil || !equalPixels(a, b) {
		t.Errorf("pixels changed: %v", err)
	}
}

func TestStripGIF(t *testing.T) {
	plain := aGIF(t, 2)
	body := 13 + colourTable(plain[10])
	dirty := append([]byte{}, plain[:body]...)
	dirty = append(dirty, "\x21\xfe\x08Rosalind\x00\x21\xff\x0bXMP DataXMP\x04<x/>\x00\x21\xff\x0bROSALINDTES\x00"...)
	dirty = append(append(dirty, plain[body:]...), "trailing"...)
	out, removed, err := strip(dirty)
	if err != nil || !slices.Equal(removed, []string{"application-data", "comment", "trailing", "xmp"}) || !bytes.Equal(out, plain) {
		t.Fatalf("%v %v", removed, err)
	}
	if g, err := gif.DecodeAll(bytes.NewReader(out)); err != nil || g.LoopCount != 3 || len(g.Image) != 2 {
		t.Errorf("frames or loop count lost: %v", err)
	}
}

func TestStripWebP(t *testing.T) {
	plain := sample(t, "hopper.webp")
	body := riffChunk("VP8X", []byte{webpXMP | webpEXIF, 0, 0, 0, 127, 0, 0, 127, 0, 0})
	body = append(append(body, plain[12:]...), riffChunk("EXIF", phone(8))...)
	body = append(append(body, riffChunk("XMP ", []byte("<x:xmpmeta/>"))...), riffChunk("ROSA", []byte("lind"))...)
	dirty := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+len(body)))
	dirty = append(append(dirty, "WEBP"...), body...)
	out, removed, err := strip(append(dirty, "trailing"...))
	if err != nil || !slices.Contains(removed, "gps") || !slices.Contains(removed, "trailing") || !slices.Contains(removed, "xmp") {
		t.Fatalf("%v %v", removed, err)
	}
	f, err := inspect(out, Limits{})
	if err != nil || f.Orientation != 8 || len(f.Private) > 0 || f.Width != 128 || out[20]&webpXMP != 0 || bytes.Contains(out, []byte("Rosa")) {
		t.Errorf("%+v %v", f, err)
	}
	a, _ := webp.Decode(bytes.NewReader(plain))
	b, err := webp.Decode(bytes.NewReader(out))
	if err != nil || !equalPixels(a, b) {
		t.Errorf("pixels changed: %v", err)
	}
}

func TestStripBMPCutsWhatIsBehindThePicture(t *testing.T) {
	var b bytes.Buffer
	if err := bmp.Encode(&b, textured(31, 7)); err != nil {
		t.Fatal(err)
	}
	out, removed, err := strip(append(bytes.Clone(b.Bytes()), "Rosalind"...))
	if err != nil || !slices.Equal(removed, []string{"trailing"}) || !bytes.Equal(out, b.Bytes()) {
		t.Errorf("%v %v", removed, err)
	}
}

func TestWhatCannotBeStrippedIsRefusedByName(t *testing.T) {
	for _, name := range []string{"child_ifd.tiff", "xmp_tags_orientation.avif", "SC_rgb_small_odd_jpeg.dcm"} {
		_, _, err := strip(sample(t, name))
		if i := issue.From(err); err == nil || i.Kind != issue.UnsupportedType {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"g4_orientation_6.tif", "rot1mir0.avif", "cheers_1440x960.heic"} {
		b := sample(t, name)
		if out, removed, err := strip(b); err != nil || removed != nil || &out[0] != &b[0] {
			t.Errorf("%s has nothing private: %v %v", name, removed, err)
		}
	}
}

func TestStripLeavesDocumentsAlone(t *testing.T) {
	letter := []byte("%PDF-1.7 /Author (Dr Test)")
	if out, removed, err := strip(letter); err != nil || removed != nil || !bytes.Equal(out, letter) {
		t.Errorf("%v %v", removed, err)
	}
}

// A file that is a photo and a web page at once is served by some programs as the page.
func TestAPolyglotLosesItsOtherHalf(t *testing.T) {
	page := []byte("<html><script>alert(1)</script>")
	polyglot := append(with(aJPEG(t, 64, 48), mCOM, page), page...)
	out, removed, err := strip(polyglot)
	if err != nil || !slices.Equal(removed, []string{"comment", "trailing"}) || bytes.Contains(out, []byte("script")) {
		t.Errorf("%v %v", removed, err)
	}
	if l := second(check(t, append(page, polyglot...), "image/jpeg")); l.Worst() == nil {
		t.Error("a page in front of a photo was taken as a photo")
	}
}

func second(_ Facts, l issue.List) issue.List { return l }
