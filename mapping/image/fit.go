package image

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"github.com/dermgate/dermgate/mapping/image/jpeg"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Target is what a destination takes.
type Target struct {
	Bytes  int64  // 0: any number
	Pixels int64  // width times height; 0: any number
	Types  []Type // none: any
	SRGB   bool   // takes no colour profile, and shows all numbers as those of sRGB
	Decode Decode // opens what is no JPEG, for one to be made of it; nil: none is
}

// Floor is what a photo must keep, or it is refused rather than harmed.
type Floor struct {
	SSIM float64 // likeness to the original at the same size in pixels (see Likeness); 0: 0.95
	Side int     // pixels of the shorter side after resizing; 0: 1000, or what the photo has if that is less
	// Quality of a JPEG that is requantised or resized, on the usual scale of 1 to 100; 0: 75. Likeness alone
	// lets a smooth photo become coarse, in which fine shades then stand in steps.
	Quality int
}

func (f Floor) withDefaults() Floor {
	if f.SSIM <= 0 {
		f.SSIM = 0.95
	}
	if f.Side <= 0 {
		f.Side = 1000
	}
	if f.Quality <= 0 {
		f.Quality = 75
	}
	return f
}

// Step is how far a photo had to be changed, the least harm first.
type Step string

// The steps of the ladder.
const (
	Untouched   Step = "untouched"
	WasStripped Step = "stripped"    // metadata taken out, the compressed pixels byte for byte
	Optimised   Step = "optimised"   // the same coefficients, so the same pixels, in fewer bytes
	Requantised Step = "requantised" // coefficients rounded to coarser steps
	Converted   Step = "converted"   // of another type: its pixels encoded once, or the JPEG that it held
	Resized     Step = "resized"     // fewer pixels, encoded once
)

// Fitted is a photo as a destination may have it, with the record of what was done.
type Fitted struct {
	File             // the derivative; the original itself when Untouched
	Step             Step
	Original, Result Facts
	// SHA256 of the original and of the derivative.
	OriginalSHA256, SHA256 [32]byte
	Quality                int        // of a JPEG that was requantised or resized, on the usual scale of 1 to 100; 0: as it was
	Likeness               Likeness   // to the original, for Resized to the original resized; 1 and +Inf for the steps before Requantised
	Removed                []string   // names of the metadata taken out (see Facts.Private), never values
	Lost                   []string   // what a JPEG cannot hold and another type held: depth, transparency
	Remarks                issue.List // of severity warning, of what only the decoder could read (dicom.Photo.Remarks)
	Encodes                int        // how often the whole photo was encoded
}

// Fit makes a photo fit for a destination with the least harm: it goes down the steps of the ladder and stops
// at the first that fits. Metadata that does not belong outside always goes.
//
// A photo is held while it is read, with its coefficients if they are under 80 MiB; above that it is read
// several times in rows. Errors are those of Inspect and Strip; besides TooLong,
// when the photo would be under the floor, and UnsupportedType, when the destination does not take its type.
func Fit(f File, lim Limits, to Target, floor Floor) (*Fitted, error) {
	facts, err := Inspect(f, lim)
	if err != nil {
		return nil, err
	}
	if !facts.Type.Taken() {
		return nil, issue.New(issue.UnsupportedType, "", types[facts.Type].refused)
	}
	out := &Fitted{File: f, Step: Untouched, Original: facts, Likeness: sameness, Removed: facts.Private}
	taken := to.takes(facts.Type)
	converts := to.Decode != nil && facts.Type != JPEG && facts.Type.Photo() && to.takes(JPEG)
	switch stripped, err := Strip(f); {
	case err != nil && converts && issue.From(err).Kind == issue.UnsupportedType: // what cannot be cleaned is made anew
		taken = false
	case err != nil:
		return nil, err
	case stripped.Changed():
		out.File, out.Step, out.Removed = stripped, WasStripped, stripped.Removed
	default:
		out.Removed = nil
	}
	large := to.Bytes > 0 && out.Size() > to.Bytes
	many := facts.measured() && to.Pixels > 0 && tooMany(facts.Width, facts.Height, to.Pixels)
	colours, err := to.recolours(f, facts)
	switch {
	case err != nil:
		return nil, err
	case colours != nil && facts.Type == JPEG && to.takes(JPEG):
		err = out.recolour(colours, to, floor.withDefaults())
	case colours != nil && converts:
		err = out.convert(f, lim, to, floor.withDefaults())
	case colours != nil:
		err = issue.New(issue.UnsupportedType, "", "a "+facts.Type.String()+" with a colour profile is not taken there")
	case taken && !large && !many:
	case taken && facts.Type == JPEG:
		err = out.shrink(to, floor.withDefaults(), many)
	case converts:
		err = out.convert(f, lim, to, floor.withDefaults())
	case !taken:
		err = issue.New(issue.UnsupportedType, "", facts.Type.String()+" is not taken there")
	default:
		err = issue.New(issue.TooLong, "", fmt.Sprintf("a %s of %d bytes and %d×%d pixels is over the limit, and only JPEGs can be made smaller", facts.Type, out.Size(), facts.Width, facts.Height))
	}
	if err != nil {
		return nil, err
	}
	return out, out.record(f)
}

// recolours gives how the colours of a photo become those that the destination shows; nil: they are.
func (to Target) recolours(f File, facts Facts) (*gamut, error) {
	if !to.SRGB || !facts.ICC {
		return nil, nil
	}
	icc, err := Profile(f)
	if err != nil {
		return nil, err
	}
	return gamutOf(icc)
}

func (to Target) takes(t Type) bool { return len(to.Types) == 0 || slices.Contains(to.Types, t) }

// shrink goes down the steps that write a JPEG anew.
func (out *Fitted) shrink(to Target, floor Floor, many bool) error {
	b, err := all(out.File)
	if err != nil {
		return err
	}
	l, err := newLadder(b, to, floor, heldMemory)
	if err != nil {
		return err
	}
	d, err := l.down(many)
	if err != nil {
		return err
	}
	out.take(l, d)
	return nil
}

// take records what the ladder gave.
func (out *Fitted) take(l *ladder, d *rung) {
	out.File, out.Step, out.Encodes = bytes.NewReader(d.bytes), d.step, l.encodes
	if out.Likeness = d.likeness; d.quantisers != nil {
		out.Quality = d.quantisers.Quality()
	}
}

// all gives the bytes of a file.
func all(f File) ([]byte, error) {
	b := make([]byte, f.Size())
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, readError(err)
	}
	return b, nil
}

func readError(err error) error {
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF // shorter than its Size
	}
	return &ReadError{err}
}

// record notes hashes and what the derivative says of itself.
func (out *Fitted) record(original File) (err error) {
	if out.OriginalSHA256, err = hash(original); err != nil {
		return err
	}
	if out.SHA256, out.Result = out.OriginalSHA256, out.Original; out.Step == Untouched {
		return nil
	}
	if out.SHA256, err = hash(out.File); err != nil {
		return err
	}
	out.Result, err = Inspect(out.File, Limits{Bytes: out.Size(), Pixels: 1 << 40})
	return err
}

func hash(f File) (sum [32]byte, err error) {
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f, 0, f.Size()))
	if err != nil || n < f.Size() {
		return sum, readError(err)
	}
	return [32]byte(h.Sum(nil)), nil
}

// rung is what a step of the ladder gave.
type rung struct {
	bytes      []byte
	step       Step
	quantisers jpeg.Quantisers // nil when they are the original's
	likeness   Likeness
}
