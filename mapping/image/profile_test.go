package image

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/dermgate/dermgate/mapping/issue"
)

// aBox writes a box of an ISO base media file.
func aBox(kind string, parts ...[]byte) []byte {
	data := slices.Concat(parts...)
	return slices.Concat(binary.BigEndian.AppendUint32(nil, uint32(8+len(data))), []byte(kind), data)
}

// aHEIC is one without pixels: a size, a profile, and an EXIF item.
func aHEIC(exif, icc []byte) []byte {
	ftyp := aBox("ftyp", []byte("heic\x00\x00\x00\x00mif1heic"))
	exif = slices.Concat([]byte{0, 0, 0, 6}, []byte(exifName), exif)
	meta := func(at int) []byte {
		infe := aBox("infe", []byte{2, 0, 0, 0, 0, 7, 0, 0}, []byte("Exif\x00"))
		iloc := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 0, 0x44, 0, 0, 2, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 7, 0, 0, 0, 1}, uint32(at))
		iloc = binary.BigEndian.AppendUint32(iloc, uint32(len(exif)))
		ispe := aBox("ispe", []byte{0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 48})
		ipco := aBox("ipco", ispe, aBox("colr", []byte("prof"), icc), aBox("colr", []byte("nclx\x00\x01\x00\x0d\x00\x06\x80")))
		return aBox("meta", []byte{0, 0, 0, 0}, aBox("iinf", []byte{0, 0, 0, 0, 0, 1}, infe), aBox("iloc", iloc), aBox("iprp", ipco))
	}
	return slices.Concat(ftyp, meta(len(ftyp)+len(meta(0))+8), aBox("mdat", exif))
}

func pngProfile(t testing.TB, icc []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	z.Write(icc)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	b := aPNG(t)
	return slices.Concat(b[:33], appendChunk(nil, "iCCP", slices.Concat([]byte("name\x00\x00"), packed.Bytes())), b[33:])
}

func TestProfilesAreGivenWhole(t *testing.T) {
	icc := bytes.Repeat([]byte("a profile of 20 byte"), 7000)
	var parts [][]byte
	for i, part := range [][]byte{icc[:60_000], icc[60_000:120_000], icc[120_000:]} {
		parts = append(parts, appSegment(mAPP2, iccName+string([]byte{byte(i + 1), 3}), part))
	}
	photo, film, web := aJPEG(t, 16, 16), aGIF(t, 1), sample(t, "lossy_alpha.webp")
	webBody := slices.Concat(riffChunk("VP8X", []byte{0x20, 0, 0, 0, 99, 0, 0, 99, 0, 0}), riffChunk("ICCP", icc), web[riffHeader+18:])
	blocks := []byte("\x21\xff\x0bICCRGBG1012")
	for part := range slices.Chunk(icc, 255) {
		blocks = append(append(blocks, byte(len(part))), part...)
	}
	table := 13 + int(colourTable(film[10]))
	flat := writeTags(binary.LittleEndian, []byte("II*\x00\x08\x00\x00\x00"), []tag{{id: tagWidth, number: 1}, {id: tagHeight, number: 1}, {id: tagICC, bytes: icc}}, 0)
	for name, b := range map[string][]byte{
		"JPEG": slices.Concat(photo[:2], slices.Concat(parts...), photo[2:]),
		"PNG":  pngProfile(t, icc),
		"WebP": slices.Concat([]byte("RIFF"), binary.LittleEndian.AppendUint32(nil, uint32(4+len(webBody))), []byte("WEBP"), webBody),
		"GIF":  slices.Concat(film[:table], blocks, []byte{0}, film[table:]),
		"TIFF": flat,
		"HEIC": aHEIC(phone(6), icc),
	} {
		got, err := Profile(bytes.NewReader(b))
		if err != nil || !bytes.Equal(got, icc) {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(icc), err)
		}
		if f, err := inspect(b, Limits{}); err != nil || !f.ICC {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	if got, err := Profile(bytes.NewReader(photo)); got != nil || err != nil {
		t.Errorf("of a photo without one: %d bytes, %v", len(got), err)
	}
}

// A profile that unpacks to more than any device has is refused before anybody unpacks it all.
func TestLargeProfiles(t *testing.T) {
	large := make([]byte, mostProfile+1)
	tiff := writeTags(binary.LittleEndian, []byte("II*\x00\x08\x00\x00\x00"), []tag{{id: tagWidth, number: 1}, {id: tagHeight, number: 1}, {id: tagICC, bytes: large}}, 0)
	for name, b := range map[string][]byte{"PNG": pngProfile(t, large), "TIFF": tiff, "HEIC": aHEIC(phone(1), large)} {
		if _, err := inspect(b, Limits{}); kindOf(err) != issue.TooLong {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What EXIF says in a HEIC is read, though it cannot be cut out: when, and what there is that is private.
func TestExifInAHEIC(t *testing.T) {
	f, err := inspect(aHEIC(phone(6), []byte("profile")), Limits{})
	want := []string{"comment", "exif", "gps", "maker-note", "other", "owner", "serial", "thumbnail"}
	if err != nil || f.Captured != "2026:11:24 10:05:00" || f.Zone != "+01:00" || f.Orientation != 1 || !slices.Equal(f.Private, want) {
		t.Errorf("%+v, %v", f, err)
	}
	got := Properties(bytes.NewReader(aHEIC(nil, nil)), "colr")
	if len(got) != 2 || got[1].Kind != "colr" || !bytes.HasPrefix(got[1].Data, []byte("nclx")) {
		t.Errorf("%v", got)
	}
}
