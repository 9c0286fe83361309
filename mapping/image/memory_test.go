package image

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/image/bmp"

	"github.com/dermgate/dermgate/mapping/issue"
)

// grown are files of each format that can be stripped, with private metadata and n bytes of picture.
func grown(t *testing.T, n int) map[string][]byte {
	t.Helper()
	photo, picture, film := aJPEG(t, 64, 48), aPNG(t), aGIF(t, 1)
	scan := bytes.Index(photo, []byte{0xff, mSOS}) + 20
	pixelsEnd := len(film) - 2 // an empty block and the trailer follow
	blocks := bytes.Repeat(append([]byte{255}, make([]byte, 255)...), n/256)
	var flat bytes.Buffer
	if err := bmp.Encode(&flat, textured(1024, 1)); err != nil {
		t.Fatal(err)
	}
	rows := n / 1024 / 3
	bitmap := patched(flat.Bytes(), 22, byte(rows), byte(rows>>8)) // its height
	pixels := riffChunk("VP8L", append([]byte{0x2f, 63, 0xc0, 0x0b, 0}, make([]byte, n)...))
	body := slices.Concat(riffChunk("VP8X", []byte{webpEXIF, 0, 0, 0, 63, 0, 0, 47, 0, 0}), pixels, riffChunk("EXIF", phone(6)))
	idats := bytes.Repeat(appendChunk(nil, "IDAT", bytes.Repeat([]byte{1, 2, 3, 4}, 2048)), n/8192)
	return map[string][]byte{
		"JPEG": withExif(slices.Concat(photo[:scan], bytes.Repeat(photo[scan:len(photo)-2], n/(len(photo)-2-scan)), photo[len(photo)-2:]), phone(6)),
		"PNG":  slices.Concat(picture[:33], appendChunk(nil, "eXIf", phone(6)), idats, appendChunk(nil, "IEND", nil)),
		"GIF":  slices.Concat(film[:pixelsEnd], blocks, film[pixelsEnd:], []byte("trailing")),
		"BMP":  slices.Concat(bitmap, make([]byte, (rows-1)*1024*3), []byte("trailing")),
		"WebP": slices.Concat([]byte("RIFF"), binary.LittleEndian.AppendUint32(nil, uint32(4+len(body))), []byte("WEBP"), body),
	}
}

// The picture of 48 MP needs no more memory than that of 12 MP, and neither more than 256 KiB to be inspected,
// stripped and written.
func TestMemoryDoesNotGrowWithThePhoto(t *testing.T) {
	small, large := grown(t, 3<<20), grown(t, 12<<20) // bytes of a phone's JPEG of 12 and 48 MP
	for name := range small {
		a, b := stripMemory(t, small[name]), stripMemory(t, large[name])
		if b > a+32<<10 || b > 256<<10 {
			t.Errorf("%s: %d bytes allocated for 3 MB, %d for 12 MB", name, a, b)
		}
		t.Logf("%s: %d and %d bytes", name, a, b)
	}
}

// stripMemory gives the bytes allocated to inspect a photo, strip it and write what came of it.
func stripMemory(t *testing.T, b []byte) int64 {
	t.Helper()
	least := int64(1 << 62) // of several, since other goroutines allocate too
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := inspect(b, Limits{Bytes: 1 << 40, Pixels: 1 << 62})
		if err != nil {
			t.Fatal(issue.From(err))
		}
		s, err := Strip(bytes.NewReader(b))
		if err != nil || !s.Changed() {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, s.NewReader())
		if err != nil || n != s.Size() {
			t.Fatal(n, err)
		}
		runtime.ReadMemStats(&after)
		least = min(least, int64(after.TotalAlloc-before.TotalAlloc))
	}
	return least
}
