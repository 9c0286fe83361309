package main

import (
	"bytes"
	"compress/zlib"
	order "encoding/binary"
	"fmt"
	"hash/crc32"
	stdimage "image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/dermgate/dermgate/fixtures/photos"
	"github.com/dermgate/dermgate/mapping/image/dicom"
	coefficients "github.com/dermgate/dermgate/mapping/image/jpeg"
)

// specimen is a photo of the set, and what becomes of it for a destination as e-RS is.
type specimen struct {
	name string
	file []byte
	most int    // hundredths of its bytes that the destination takes; 0: any number
	step string // "" for one that is only said not to be refused
	text string // of the refusal, of one that is
	may  bool   // be refused, as too small to be made smaller
}

// photoSet are the photos that were seen in the wild and those that cameras, phones and hospitals write: all that the
// repository's tests have, and those that code makes.
func photoSet(t *testing.T) []specimen {
	t.Helper()
	return slices.Concat(fromPhones(t), committedPhotos(t), otherTypes(t))
}

// fromPhones are JPEGs with all that phones write, in every way up, profile, form and size.
func fromPhones(t *testing.T) (out []specimen) {
	t.Helper()
	add := func(name string, file []byte, most int, step string) {
		out = append(out, specimen{name: name, file: file, most: most, step: step})
	}
	for o := range uint16(8) {
		plain := photos.Lesion{Seed: uint32(o), View: photos.View(o % 3), Width: 160, Height: 120, Quality: 85}.JPEG()
		add(fmt.Sprintf("orientation-%d.jpg", o+1), photos.WithPrivate(plain, o+1), 0, "stripped")
	}
	clean := photos.Lesion{Seed: 21, View: photos.CloseUp, Width: 480, Height: 360, Quality: 95}.JPEG()
	every := photos.WithEverything(clean, 6)
	add("every.jpg", every, 0, "stripped")
	add("every-optimised.jpg", every, 95, "optimised")
	add("every-requantised.jpg", every, 78, "requantised")
	add("every-resized.jpg", every, 40, "resized")
	add("clean.jpg", clean, 0, "untouched")
	for name, icc := range map[string][]byte{"p3": photos.DisplayP3(), "adobe": photos.AdobeRGB(), "srgb": photos.SRGB()} {
		add("profile-"+name+".jpg", withSegment(clean, 0xe2, slices.Concat([]byte("ICC_PROFILE\x00\x01\x01"), icc)), 96, "optimised")
	}
	p, err := coefficients.Decode(every, coefficients.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	progressive := p.EncodeProgressive()
	add("progressive.jpg", progressive, 0, "stripped")
	add("progressive-requantised.jpg", progressive, 80, "requantised")
	add("trailing.jpg", append(bytes.Clone(clean), "Rosalind Testcase"...), 0, "stripped")
	add("comments.jpg", withSegment(withSegment(clean, 0xfe, []byte("left forearm")), 0xfe, []byte("Rosalind Testcase")), 96, "optimised")
	add("grey.jpg", jpegOf(t, greyed(lesionPixels(320, 240))), 90, "")
	return out
}

// committedPhotos are those of the repository, in other people's words: see the LICENCES beside them.
func committedPhotos(t *testing.T) (out []specimen) {
	t.Helper()
	refused := map[string]string{
		"arithmetic.jpg": "arithmetic", "testimgari.jpg": "arithmetic", "rot1mir0.avif": "AVIF", "xmp_tags_orientation.avif": "AVIF",
		"child_ifd.tiff": "decoder does not read", "MR_truncated.dcm": "longer than the file", "JPEG2000.dcm": "JPEG 2000", "JPGExtended.dcm": "more than 8 bits",
		"SC_rgb_jpeg_gdcm.dcm": "lossless JPEG", "SC_rgb_rle_16bit.dcm": "more than 8 bits", "SC_rgb_rle_2frame.dcm": "several frames", "UN_sequence.dcm": "lossless JPEG",
		"meta_missing_tsyntax.dcm": "no transfer syntax", "nested_priv_SQ.dcm": "without width or height",
	}
	for _, folder := range []string{"../fixtures/photos", "../mapping/image/testdata", "../mapping/image/jpeg/testdata", "../mapping/image/dicom/testdata"} {
		names, err := filepath.Glob(filepath.Join(folder, "*.*"))
		if err != nil || len(names) == 0 {
			t.Fatal(folder, err)
		}
		for _, name := range names {
			if filepath.Ext(name) == ".go" {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s := specimen{name: filepath.Base(name), file: b, text: refused[filepath.Base(name)]}
			if out = append(out, s); s.isJPEG() && s.text == "" {
				out = append(out, specimen{name: "tight-" + s.name, file: b, most: 97, may: true})
			}
		}
	}
	return out
}

// otherTypes are photos that are no JPEG, with what their types can hold beside the picture.
func otherTypes(t *testing.T) (out []specimen) {
	t.Helper()
	im := lesionPixels(200, 150)
	whole := im.Bounds()
	opaque := stdimage.NewNRGBA(whole)
	draw.Draw(opaque, whole, im, stdimage.Point{}, draw.Src)
	deep, glass, few := stdimage.NewNRGBA64(whole), stdimage.NewNRGBA(whole), stdimage.NewPaletted(whole, palette.Plan9)
	draw.Draw(deep, whole, im, stdimage.Point{}, draw.Src)
	draw.Draw(glass, whole, im, stdimage.Point{}, draw.Src)
	draw.FloydSteinberg.Draw(few, whole, im, stdimage.Point{})
	for x := range 60 {
		glass.SetNRGBA(x, 40, color.NRGBA{200, 30, 30, uint8(4 * x)})
	}
	deepGrey := stdimage.NewGray16(whole)
	draw.Draw(deepGrey, whole, im, stdimage.Point{}, draw.Src)
	add := func(name string, file []byte, most int, step string) {
		out = append(out, specimen{name: name, file: file, most: most, step: step})
	}
	for name, im := range map[string]stdimage.Image{"8": opaque, "16": deep, "alpha": glass, "palette": few, "grey16": deepGrey, "grey": greyed(im)} {
		add("png-"+name+".png", privatePNG(pngOf(t, im)), 0, "stripped")
		add("png-"+name+"-converted.png", privatePNG(pngOf(t, im)), 50, "")
	}
	var film, flat, plain, packed bytes.Buffer
	if err := gif.EncodeAll(&film, &gif.GIF{Image: []*stdimage.Paletted{few, few}, Delay: []int{5, 5}}); err != nil {
		t.Fatal(err)
	}
	if err := bmp.Encode(&flat, im); err != nil {
		t.Fatal(err)
	}
	if err := tiff.Encode(&plain, im, nil); err != nil {
		t.Fatal(err)
	}
	if err := tiff.Encode(&packed, deep, &tiff.Options{Compression: tiff.Deflate, Predictor: true}); err != nil {
		t.Fatal(err)
	}
	end := film.Len() - 1
	add("film.gif", slices.Concat(film.Bytes()[:end], []byte("\x21\xfe\x11Rosalind Testcase\x00"), film.Bytes()[end:], []byte("behind")), 0, "stripped")
	add("flat.bmp", append(flat.Bytes(), "Rosalind Testcase"...), 0, "converted") // not of e-RS's types
	add("plain.tif", plain.Bytes(), 0, "untouched")
	add("private.tif", privateTIFF(plain.Bytes()), 0, "converted")
	add("deep.tif", packed.Bytes(), 60, "converted")
	web, err := os.ReadFile("../mapping/image/testdata/hopper.webp")
	if err != nil {
		t.Fatal(err)
	}
	add("private.webp", privateWebP(web), 0, "converted")
	add("dermoscopy.dcm", aDermoscopy(t), 0, "converted")
	return out
}

// lesionPixels are those of a close-up.
func lesionPixels(w, h int) stdimage.Image {
	im, err := jpeg.Decode(bytes.NewReader(photos.Lesion{Seed: 31, View: photos.CloseUp, Width: w, Height: h, Quality: 95}.JPEG()))
	if err != nil {
		panic(err)
	}
	return im
}

func greyed(im stdimage.Image) stdimage.Image {
	out := stdimage.NewGray(im.Bounds())
	draw.Draw(out, out.Bounds(), im, stdimage.Point{}, draw.Src)
	return out
}

func jpegOf(t *testing.T, im stdimage.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, im, &jpeg.Options{Quality: 92}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t *testing.T, im stdimage.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, im); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withSegment puts a marker segment behind SOI.
func withSegment(photo []byte, marker byte, data []byte) []byte {
	head := order.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(2+len(data)))
	return slices.Concat(photo[:2], head, data, photo[2:])
}

// exifOf is the EXIF block of a phone's photo without the JPEG.
func exifOf() []byte {
	photo := photos.WithPrivate([]byte{0xff, 0xd8}, 3)
	return photo[2+4+6 : 2+2+int(order.BigEndian.Uint16(photo[4:]))]
}

func pngChunk(kind string, data []byte) []byte {
	b := append([]byte(kind), data...)
	return order.BigEndian.AppendUint32(slices.Concat(order.BigEndian.AppendUint32(nil, uint32(len(data))), b), crc32.ChecksumIEEE(b))
}

// privatePNG adds text in three forms, XMP, EXIF, a time and bytes behind the end; and what stays: P3 and 300 pixels an inch.
func privatePNG(b []byte) []byte {
	var icc bytes.Buffer
	z := zlib.NewWriter(&icc)
	z.Write(photos.DisplayP3())
	z.Close()
	var packed bytes.Buffer
	z = zlib.NewWriter(&packed)
	z.Write([]byte("Rosalind Testcase"))
	z.Close()
	grey := b[25] == 0 || b[25] == 4 // a profile of three colours is not for these
	profile := pngChunk("iCCP", slices.Concat([]byte("P3\x00\x00"), icc.Bytes()))
	if grey {
		profile = nil
	}
	return slices.Concat(b[:33], profile, pngChunk("pHYs", []byte{0, 0, 0x2e, 0x23, 0, 0, 0x2e, 0x23, 1}),
		pngChunk("tEXt", []byte("Author\x00Rosalind Testcase")), pngChunk("zTXt", slices.Concat([]byte("Comment\x00\x00"), packed.Bytes())),
		pngChunk("iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")),
		pngChunk("tIME", []byte{7, 0xea, 11, 24, 10, 5, 0}), pngChunk("eXIf", exifOf()), b[33:], []byte("behind"))
}

// privateTIFF adds a place and an artist to the directory, which is the last thing in a file of x/image/tiff.
func privateTIFF(b []byte) []byte {
	le := order.LittleEndian
	at := le.Uint32(b[4:])
	n := int(le.Uint16(b[at:]))
	entries := slices.Clone(b[at+2 : int(at)+2+12*n])
	artist := uint32(len(b))
	b = append(slices.Clone(b), "Rosalind Testcase\x00"...)
	var whole [][]byte
	for e := range slices.Chunk(entries, 12) {
		whole = append(whole, e)
	}
	whole = append(whole, le.AppendUint32(le.AppendUint32([]byte{0x3b, 1, 2, 0}, 18), artist))
	slices.SortFunc(whole, func(x, y []byte) int { return int(le.Uint16(x)) - int(le.Uint16(y)) })
	le.PutUint32(b[4:], uint32(len(b)))
	b = le.AppendUint16(b, uint16(len(whole)))
	return append(append(b, slices.Concat(whole...)...), 0, 0, 0, 0)
}

// privateWebP adds EXIF and XMP to a WebP of the simple kind.
func privateWebP(b []byte) []byte {
	chunk := func(kind string, data []byte) []byte {
		out := append(order.LittleEndian.AppendUint32([]byte(kind), uint32(len(data))), data...)
		return append(out, make([]byte, len(data)%2)...)
	}
	w, h := order.LittleEndian.Uint16(b[26:])&0x3fff-1, order.LittleEndian.Uint16(b[28:])&0x3fff-1
	body := slices.Concat([]byte("WEBP"), chunk("VP8X", []byte{0x0c, 0, 0, 0, byte(w), byte(w >> 8), 0, byte(h), byte(h >> 8), 0}), b[12:],
		chunk("EXIF", exifOf()), chunk("XMP ", []byte("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")))
	return slices.Concat(order.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body)
}

// aDermoscopy is a photo in a DICOM file that names the patient.
func aDermoscopy(t *testing.T) []byte {
	t.Helper()
	b, err := dicom.Wrap(photos.Lesion{Seed: 5, View: photos.Dermoscopic, Width: 256, Height: 192, Quality: 90}.JPEG(), dicom.Wrapping{
		Dermoscopic: true, PatientID: "9990548609", Family: "Testcase", Given: "Rosalind", BirthDate: "19680412", Sex: "F",
		Captured: time.Date(2026, 11, 24, 10, 5, 0, 0, time.UTC), Study: "2.25.1", Series: "2.25.2", Instance: "2.25.3", Number: 1,
		Width: 256, Height: 192, Samples: 3, ICC: photos.DisplayP3(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// isJPEG goes by the name, as the set is named rightly.
func (s specimen) isJPEG() bool {
	return strings.HasSuffix(s.name, ".jpg") || strings.HasSuffix(s.name, ".mpo")
}
