package image

import (
	"errors"
	"io"
	"slices"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Stripped is a photo as it may travel: a File made of stretches of the original, which must stay readable,
// and of the few bytes that had to be written anew. It may be read from several goroutines at once.
type Stripped struct {
	// Removed names what is no longer there, sorted (see Facts.Private; camera-settings went with the EXIF
	// block they stood in). Without any, the bytes are those of the original.
	Removed []string
	f       File
	pieces
}

// Changed tells whether anything was removed.
func (s *Stripped) Changed() bool { return len(s.Removed) > 0 }

// Size gives the length in bytes.
func (s *Stripped) Size() int64 { return s.size }

// NewReader reads the stripped photo from its beginning, each time it is called.
func (s *Stripped) NewReader() *io.SectionReader { return io.NewSectionReader(s, 0, s.size) }

// ReadAt reads as io.ReaderAt says. Its errors are those of the original File.
func (s *Stripped) ReadAt(b []byte, at int64) (n int, err error) {
	if at < 0 {
		return 0, errors.New("image: read before the beginning")
	}
	for n < len(b) {
		if at >= s.size {
			return n, io.EOF
		}
		p, left := s.find(at)
		next := b[n:min(len(b), n+int(min(left, blockSize)))]
		got, err := s.read(p, at, next)
		n, at = n+got, at+int64(got)
		if got < len(next) {
			return n, err
		}
	}
	return n, nil
}

// read fills b with bytes of one piece.
func (s *Stripped) read(p piece, at int64, b []byte) (int, error) {
	from := p.from + at - p.at
	if p.written {
		return copy(b, s.written[from:]), nil
	}
	n, err := s.f.ReadAt(b, from)
	if n < len(b) && (err == nil || err == io.EOF) {
		err = io.ErrUnexpectedEOF // shorter than its Size
	}
	return n, err
}

// Pieces tells what the photo is put together of, in order: bytes written anew, or, where those are nil, size bytes of the
// original from a place on.
func (s *Stripped) Pieces(each func(written []byte, from, size int64) error) error {
	for i, p := range s.list {
		end := s.size
		if i+1 < len(s.list) {
			end = s.list[i+1].at
		}
		var written []byte
		if p.written {
			written = s.written[p.from : p.from+end-p.at]
		}
		if err := each(written, p.from, end-p.at); err != nil {
			return err
		}
	}
	return nil
}

// Strip takes private metadata out of a photo and leaves the compressed pixels byte for byte, the colour
// profile, orientation, density and time of capture. Nothing is copied until the result is read; a document
// stays as it is.
//
// JPEG, PNG, GIF, WebP and BMP can be stripped. Another photo type that carries private metadata is an
// *issue.Issue of kind UnsupportedType; a photo that does not hold together is one of Structure or TooLong.
// A File that cannot be read is a *ReadError.
func Strip(f File) (*Stripped, error) {
	w := newWindow(f)
	a, err := dissect(w, w.whole().sniff())
	if err != nil {
		return nil, err
	}
	s := &Stripped{Removed: a.Private, f: f}
	switch {
	case len(a.Private) == 0:
		s.keep(w.whole())
		return s, nil
	case len(a.list) == 0:
		return nil, issue.New(issue.UnsupportedType, "",
			"private metadata cannot be taken out of "+a.Type.String()+" without decoding it: send a JPEG or PNG")
	}
	s.pieces = a.pieces
	if len(a.meta.private) > 0 && a.meta.settings {
		s.Removed = slices.Insert(s.Removed, 0, "camera-settings")
		slices.Sort(s.Removed)
	}
	return s, nil
}
