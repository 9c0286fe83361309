package image

import (
	"fmt"
	"math"

	"github.com/dermgate/dermgate/mapping/image/jpeg"
	"github.com/dermgate/dermgate/mapping/issue"
)

// heldMemory is how many bytes of coefficients are held: those of 12 MP without subsampling, or 24 MP with it.
const heldMemory = 80 << 20

var sameness = Likeness{1, math.Inf(1)}

// ladder makes a JPEG smaller.
type ladder struct {
	b       []byte // stripped
	head    *jpeg.Header
	held    bool // its coefficients are held
	to      Target
	floor   Floor
	encodes int
}

// newLadder reads a JPEG; its coefficients are held if they are of no more than some bytes.
func newLadder(b []byte, to Target, floor Floor, most int64) (*ladder, error) {
	if to.Bytes <= 0 {
		to.Bytes = math.MaxInt64
	}
	head, err := jpeg.Inspect(b, decodable)
	if err != nil {
		return nil, err
	}
	return &ladder{b: b, head: head, to: to, floor: floor, held: head.Memory() <= most}, nil
}

// decodable are the limits of a photo that was let in.
var decodable = jpeg.Limits{Pixels: 1 << 40, Memory: heldMemory}

func (l *ladder) decode() (*jpeg.Picture, error) { return jpeg.Decode(l.b, decodable) }

// bands gives the photo to be read from the top, none of it held.
func (l *ladder) bands() jpeg.Bands { return jpeg.Stream(l.b, decodable) }

// down takes the steps in turn until one fits.
func (l *ladder) down(resize bool) (*rung, error) {
	if resize {
		return l.resize()
	}
	s, err := l.squeeze(nil)
	if err != nil {
		return nil, err
	}
	for _, step := range []func() (*rung, error){s.optimise, s.requantise} {
		if out, err := step(); out != nil || err != nil {
			return out, err
		}
	}
	s.picture = nil // its memory is needed
	return l.resize()
}

// refuse says that no step can make the photo fit.
func (l *ladder) refuse() error {
	limit := fmt.Sprintf("%d bytes", l.to.Bytes)
	if l.to.Pixels > 0 {
		limit += fmt.Sprintf(" and %d pixels", l.to.Pixels)
	}
	return issue.New(issue.TooLong, "", fmt.Sprintf("a photo that cannot be brought to %s and keep quality %d, a likeness (SSIM) of %.2f and %d pixels a side",
		limit, l.floor.Quality, l.floor.SSIM, l.floor.Side))
}
