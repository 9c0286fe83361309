package image

import (
	"fmt"
	"slices"

	"github.com/dermgate/dermgate/mapping/issue"
)

// MostBytes are those of a photo unless it is said otherwise: 25 MiB.
const MostBytes = 25 << 20

// Limits on a file, checked before anything is made of it.
type Limits struct {
	Bytes  int64 // 0: MostBytes
	Pixels int64 // width times height as the header says; 0: 64 million, which lets the 48 MP of phones in
}

// Limits of the format itself: a photo has none of these in such numbers, a bomb has.
const (
	mostParts   = 20_000  // segments, chunks or blocks; a PNG of 25 MiB in chunks of 8 KiB has 3,200
	mostScans   = 500     // of a JPEG: a progressive one has about ten, and every one is a pass over all pixels
	mostFrames  = 100     // of a GIF or WebP
	mostProfile = 4 << 20 // bytes of colour profile; large printing profiles have 2 MB
)

func (l Limits) bytes() int64 {
	if l.Bytes > 0 {
		return l.Bytes
	}
	return MostBytes
}

func (l Limits) pixels() int64 {
	if l.Pixels > 0 {
		return l.Pixels
	}
	return 64e6
}

// Facts are what a file says of itself, read without decoding.
type Facts struct {
	Type          Type
	Bytes         int64
	Width, Height int    // pixels as stored, before Orientation is applied; 0 for documents and DICOM
	Depth         int    // bits a sample (a channel of a pixel); 0 where the header was not read for it
	Orientation   int    // EXIF 1 to 8; 1 when not stated. The turning of HEIC and AVIF is in their own boxes, not here
	ICC           bool   // carries a colour profile
	Captured      string // EXIF DateTimeOriginal as written, local time: "2026:11:24 10:05:00"; "" when not stated
	Zone          string // EXIF OffsetTimeOriginal of Captured: "+01:00"; "" when not stated
	Focus         bool   // says at which focal length or distance it was taken
	density       density
	// Private names what does not belong outside, sorted: application-data, comment, exif (there, but not
	// read or broken), gps, iptc, maker-note, mpf (a second picture), other (EXIF tags not known), owner,
	// patient (DICOM), serial, stray-bytes, thumbnail, trailing, xmp. Names only, never values.
	Private []string
}

// anatomy is a file taken apart.
type anatomy struct {
	Facts
	pieces      // what belongs to the picture, in order, rewritten where it had to be
	meta   exif // of the first EXIF block
	icc    profile
	parts  int
	blocks int // of EXIF
}

// private notes the name of something that does not belong outside.
func (a *anatomy) private(name string) {
	if !slices.Contains(a.Private, name) {
		a.Private = append(a.Private, name)
	}
}

// part counts segments, chunks and blocks against mostParts.
func (a *anatomy) part() error {
	if a.parts++; a.parts > mostParts {
		return issue.New(issue.TooLong, "", "a photo in more segments than any camera writes")
	}
	return nil
}

// exif takes over what an EXIF block or TIFF directory says.
func (a *anatomy) exif(x exif) {
	a.meta = x
	a.Orientation = max(x.orientation, 1)
	a.Captured, a.Zone, a.Focus = x.captured, x.zone, x.focus
	if x.density.stated() {
		a.density = x.density
	}
	for _, name := range x.private {
		a.private(name)
	}
}

// block decides on an EXIF block: it stays as it is, or something else stands in its place (nil: nothing).
// Only the first one counts, since readers differ on which they believe.
func (a *anatomy) block(b section) (stays bool, instead []byte) {
	if a.blocks++; a.blocks > 1 {
		a.private("exif")
		return false, nil
	}
	a.exif(readBlock(b))
	if len(a.meta.private) == 0 {
		return true, nil
	}
	return false, a.meta.minimal()
}

// dissect takes a file apart; for a document there is nothing to do. A ReadError goes before whatever the
// readers said: to them, bytes that did not come looked like a photo that is cut off.
func dissect(w *window, t Type) (*anatomy, error) {
	a := &anatomy{Facts: Facts{Type: t, Bytes: w.size, Orientation: 1}}
	b := w.whole()
	var err error
	switch t {
	case JPEG:
		err = a.jpeg(b)
	case PNG:
		err = a.png(b)
	case GIF:
		err = a.gif(b)
	case WebP:
		err = a.webp(b)
	case BMP:
		err = a.bmp(b)
	case TIFF:
		err = a.tiff(b)
	case HEIC, AVIF:
		err = a.bmff(b)
	case DICOM:
		a.private("patient") // its dataset names the patient and the device
	}
	slices.Sort(a.Private)
	if w.err != nil {
		return a, w.err
	}
	if err == nil && a.measured() && (a.Width <= 0 || a.Height <= 0) {
		err = issue.New(issue.Structure, "", "a photo without width or height")
	}
	return a, err
}

// Inspect reads the facts of a file within limits; nothing is decoded. The error is a *ReadError, and then
// the facts are of no use, or an *issue.Issue: Required (empty), TooLong (bytes, pixels, segments, frames),
// UnsupportedType (of no known type, or a form of its type that no reader opens), Structure (cut off, or not
// what its first bytes promise).
func Inspect(file File, lim Limits) (Facts, error) {
	w := newWindow(file)
	f := Facts{Bytes: w.size, Orientation: 1}
	switch {
	case w.size == 0:
		return f, issue.New(issue.Required, "", "an empty file")
	case w.size > lim.bytes():
		return f, issue.New(issue.TooLong, "", fmt.Sprintf("a file of %d bytes, over the limit of %d", w.size, lim.bytes()))
	}
	f.Type = w.whole().sniff()
	if f.Type == Unknown && w.err == nil {
		return f, issue.New(issue.UnsupportedType, "", types[Unknown].refused)
	}
	a, err := dissect(w, f.Type)
	if w.err == nil && tooMany(a.Width, a.Height, lim.pixels()) { // before err: a bomb need not be whole
		err = issue.New(issue.TooLong, "", "a photo with more pixels than the limit")
	}
	return a.Facts, err
}

// tooMany compares without overflow: no format has more than 32 bits a side.
func tooMany(w, h int, most int64) bool {
	return w > 0 && h > 0 && uint64(w)*uint64(h) > uint64(most)
}

// measured tells the types whose dimensions are read.
func (f *Facts) measured() bool { return f.Type.Photo() && f.Type.Taken() && f.Type != DICOM }

func cutOff() error { return issue.New(issue.Structure, "", "a photo that is cut off") }
