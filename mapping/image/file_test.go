package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/image/bmp"

	"github.com/dermgate/dermgate/mapping/issue"
)

// hardFile is a File that does not make it easy.
type hardFile struct {
	b      []byte
	most   int   // bytes at once; 0: any number
	broken int   // the place that cannot be read; -1: none
	cause  error // of that
	failed bool
	reads  []int64 // where each began
}

func (f *hardFile) Size() int64 { return int64(len(f.b)) }

func (f *hardFile) ReadAt(p []byte, at int64) (int, error) {
	f.reads = append(f.reads, at)
	switch {
	case f.most > 0 && len(p) > f.most:
		return 0, fmt.Errorf("%d bytes at once", len(p))
	case f.broken >= int(at) && f.broken < int(at)+len(p):
		f.failed = true
		return copy(p, f.b[at:f.broken]), f.cause
	}
	return bytes.NewReader(f.b).ReadAt(p, at)
}

// everyKind are files of every format, with and without something private, whole and not, by name.
func everyKind(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	names, err := filepath.Glob("testdata/*.*")
	if err != nil || len(names) < 25 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = b
	}
	var flat bytes.Buffer
	if err := bmp.Encode(&flat, textured(31, 7)); err != nil {
		t.Fatal(err)
	}
	photo, picture, film := aJPEG(t, 64, 48), aPNG(t), aGIF(t, 2)
	files["a phone's JPEG"] = withExif(photo, phone(6))
	files["a JPEG with stray bytes"] = slices.Concat(photo[:frameAt(photo)], []byte("Rosalind\xff\xff\xff\xd0"), photo[frameAt(photo):], []byte("PK"))
	files["half a JPEG"] = photo[:len(photo)/2]
	files["a phone's PNG"] = slices.Concat(picture[:33], appendChunk(nil, "eXIf", phone(3)), appendChunk(nil, "iTXt", []byte(pngXMP)), picture[33:])
	files["a PNG with a wrong checksum"] = patched(picture, len(picture)-20, 1, 2, 3)
	files["a GIF with a comment"] = slices.Concat(film[:13+colourTable(film[10])], []byte("\x21\xfe\x03abc\x00"), film[13+colourTable(film[10]):])
	files["a BMP with a tail"] = append(flat.Bytes(), "Rosalind"...)
	files["a letter"] = []byte("Dear colleague")
	files["nothing"] = nil
	filler := make([]byte, 9000)
	files["DOCX"] = slices.Concat([]byte("PK\x03\x04[Content_Types].xml"), filler, []byte("word/document.xml"), filler)
	files["an archive"] = slices.Concat([]byte("PK\x03\x04[Content_Types].xml"), filler, []byte("word/document.xm"))
	files["Word"] = slices.Concat([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), filler, []byte("W\x00o\x00r\x00d\x00D\x00o\x00c\x00u\x00m\x00e\x00n\x00t\x00"))
	return files
}

// reading is all that the package finds in a file, through a window of a size.
type reading struct {
	t     Type
	facts Facts
	err   string
	stays pieces
}

// read gives what a file says, or the ReadError that kept it from saying so.
func read(f File, block int64) (reading, error) {
	w := newWindow(f)
	w.block = block
	r := reading{t: w.whole().sniff()}
	a, err := dissect(w, r.t)
	var unread *ReadError
	if errors.As(err, &unread) {
		return r, err
	}
	if r.facts, r.stays = a.Facts, a.pieces; err != nil {
		r.err = err.Error()
	}
	return r, nil
}

func (r reading) equal(q reading) bool {
	return r.t == q.t && r.facts.Type == q.facts.Type && equalFacts(r.facts, q.facts) && slices.Equal(r.facts.Private, q.facts.Private) &&
		r.err == q.err && slices.Equal(r.stays.list, q.stays.list) && r.stays.size == q.stays.size && bytes.Equal(r.stays.written, q.stays.written)
}

func TestAFileSaysTheSameThroughAnyWindow(t *testing.T) {
	for name, b := range everyKind(t) {
		want, err := read(bytes.NewReader(b), int64(len(b))+1) // all in one window
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, block := range []int64{1, 7, 257, 4099, blockSize} {
			got, err := read(&hardFile{b: b, most: int(block), broken: -1}, block)
			if err != nil || !got.equal(want) {
				t.Errorf("%s in windows of %d: %+v, %v\nwant %+v", name, block, got.facts, err, want.facts)
			}
		}
	}
}

// A segment of the blob store is what can be had at once; no photo asks for more, whatever it is made of.
func TestNoReadIsLargerThanABlock(t *testing.T) {
	noise := make([]byte, 3<<20)
	for i := range noise {
		noise[i] = byte(i * i >> 7)
	}
	picture := aPNG(t)
	files := everyKind(t)
	for name, b := range grown(t, 6<<20) {
		files["a "+name+" of 6 MB"] = b
	}
	files["a PNG of large chunks"] = slices.Concat(picture[:33], appendChunk(nil, "iCCP", noise), appendChunk(nil, "tEXt", noise), appendChunk(nil, "eXIf", append(phone(6), noise...)), picture[33:])
	files["a large archive"] = slices.Concat([]byte("PK\x03\x04[Content_Types].xml"), noise, []byte("word/document.xml"))
	for name, b := range files {
		f := &hardFile{b: b, most: blockSize, broken: -1}
		got, err := Inspect(f, Limits{})
		if want, wantErr := inspect(b, Limits{}); !slices.Equal(got.Private, want.Private) || !equalFacts(got, want) || kindOf(err) != kindOf(wantErr) {
			t.Errorf("%s: %+v %v, want %+v %v", name, got, err, want, wantErr)
		}
		want, removed, wantErr := strip(b)
		s, err := Strip(f)
		if kindOf(err) != kindOf(wantErr) {
			t.Errorf("%s: %v, want %v", name, err, wantErr)
		}
		if err != nil {
			continue
		}
		out := make([]byte, s.Size())
		if n, err := s.ReadAt(out, 0); n != len(want) || err != nil || !bytes.Equal(out, want) || !slices.Equal(s.Removed, removed) {
			t.Errorf("%s: %d bytes of %d, %v %v", name, n, len(want), s.Removed, err)
		}
	}
}

// A block of the blob store costs its decryption, so a photo is read from block to block and each one once.
func TestEachBlockIsReadOnce(t *testing.T) {
	for name, b := range grown(t, 6<<20) {
		f := &hardFile{b: b, broken: -1}
		if _, err := Inspect(f, Limits{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i, at := range f.reads {
			if at%blockSize != 0 || i > 0 && at <= f.reads[i-1] {
				t.Errorf("%s: read number %d is at %d", name, i, at)
				break
			}
		}
	}
}

// Wherever reading fails, the error comes out, never a verdict on the photo; where it does not get that far,
// the verdict is what it was.
func TestAnErrorOfTheFileIsNoVerdictOnThePhoto(t *testing.T) {
	cause := issue.New(issue.Unavailable, "", "the blob store is away") // an issue, yet none of the photo
	for name, b := range everyKind(t) {
		want, err := read(bytes.NewReader(b), 64)
		if err != nil {
			t.Fatal(err)
		}
		step := 1
		if len(b) > 2000 {
			step = 61 // in each block, at another place
		}
		for at := 0; at < len(b); at += step {
			f := &hardFile{b: b, broken: at, cause: cause}
			got, err := read(f, 64)
			switch {
			case f.failed && !errors.Is(err, cause):
				t.Fatalf("%s, not readable at %d: %+v %v", name, at, got.facts, err)
			case !f.failed && (err != nil || !got.equal(want)):
				t.Fatalf("%s, not read at %d: %+v %v", name, at, got.facts, err)
			}
		}
	}
}

func TestCheckTellsTroubleOfTheFileFromThatOfThePhoto(t *testing.T) {
	b := withExif(aJPEG(t, 64, 48), phone(6))
	for _, cause := range []error{issue.New(issue.Unavailable, "", "away"), io.ErrUnexpectedEOF, os.ErrClosed} {
		f := &hardFile{b: b, broken: 1000, cause: cause}
		var unread *ReadError
		if _, err := Inspect(f, Limits{}); !errors.As(err, &unread) || !errors.Is(err, cause) {
			t.Errorf("inspect: %v", err)
		}
		if _, l, err := Check(f, "image/jpeg", Limits{}); len(l) > 0 || !errors.As(err, &unread) {
			t.Errorf("check: %v %v", l, err)
		}
		if _, err := Strip(f); !errors.As(err, &unread) {
			t.Errorf("strip: %v", err)
		}
		if _, err := SniffFile(&hardFile{b: b, cause: cause}); !errors.As(err, &unread) {
			t.Errorf("sniff: %v", err)
		}
	}
}

// shortFile says that it is longer than it is.
type shortFile struct{ *bytes.Reader }

func (f shortFile) Size() int64 { return f.Reader.Size() + 10 }

func TestAFileShorterThanItsSizeIsNotReadable(t *testing.T) {
	if _, err := Inspect(shortFile{bytes.NewReader(aPNG(t))}, Limits{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestAStrippedPhotoIsAFile(t *testing.T) {
	for name, b := range everyKind(t) {
		s, err := Strip(bytes.NewReader(b))
		if err != nil {
			continue // TestWhatCannotBeStrippedIsRefusedByName says which
		}
		out, err := io.ReadAll(s.NewReader())
		if err != nil {
			t.Fatal(err)
		}
		if len(out) < 20_000 { // it reads at every place
			if err := iotest.TestReader(s.NewReader(), out); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if again, err := Strip(s); err != nil || again.Changed() || again.Size() != s.Size() {
			t.Errorf("%s stripped again: %v", name, err)
		}
	}
	photo := withExif(aJPEG(t, 64, 48), phone(6))
	f := &hardFile{b: photo, broken: -1, cause: os.ErrClosed}
	s, err := Strip(f)
	if err != nil {
		t.Fatal(err)
	}
	f.broken = len(photo) - 10
	if n, err := io.Copy(io.Discard, s.NewReader()); !errors.Is(err, os.ErrClosed) || n >= s.Size() {
		t.Errorf("%d bytes, %v", n, err)
	}
	if _, err := s.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("read before the beginning")
	}
}

// A directory may name as many tables of directories as it has entries, and a table as many as there are:
// three hundred million to follow, if all were noted.
func TestTablesOfDirectoriesAreNotAllFollowed(t *testing.T) {
	le := binary.LittleEndian
	b := le.AppendUint16([]byte("II*\x00\x08\x00\x00\x00"), 65535)
	for range 65535 {
		b = le.AppendUint32(le.AppendUint32(le.AppendUint16(le.AppendUint16(b, tagSubIFDs), 4), mostDirectories), 400_000)
	}
	b = append(b, make([]byte, 300_000)...)
	for i := range mostDirectories {
		le.PutUint32(b[400_000+4*i:], uint32(8+12*i))
	}
	begin := time.Now()
	f := &hardFile{b: b, broken: -1}
	if x := readBlock(newWindow(f).whole()); !slices.Contains(x.private, "exif") || len(f.reads) > 20*mostDirectories {
		t.Errorf("%v, %d reads", x.private, len(f.reads))
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %v", took)
	}
}
