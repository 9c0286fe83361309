package image

import (
	"math"

	"github.com/dermgate/dermgate/mapping/image/jpeg"
)

// good is the factor on the finest steps of a new picture at which more pixels are worth more than finer
// steps: quality about 85.
const good = 3.3

// decline is by which power of the factor on sides bytes go down: less than the square, since small pictures
// have more detail a pixel.
const decline = 1.6

// resize makes the photo smaller, as little as it can be, and writes it in steps as fine as fit.
func (l *ladder) resize() (*rung, error) {
	factor, err := l.firstGuess()
	if err != nil {
		return nil, err
	}
	finest := jpeg.NewQuantisers(len(l.head.Components))
	for range 2 {
		width, height, ok := l.size(factor)
		if !ok {
			break
		}
		s, err := l.smaller(width, height, finest)
		if err != nil {
			return nil, err
		}
		out, err := s.requantise()
		if err != nil {
			return nil, err
		}
		if out != nil {
			out.step = Resized
			return out, nil
		}
		bytes, err := s.estimate(finest.Coarser(good))
		if err != nil {
			return nil, err
		}
		factor *= min(0.9, math.Pow(float64(l.to.Bytes)/bytes, 1/decline))
	}
	return nil, l.refuse()
}

// smaller resizes the photo, and is ready to write it.
func (l *ladder) smaller(width, height int, finest jpeg.Quantisers) (*squeeze, error) {
	s := &squeeze{ladder: l, finest: finest}
	s.again = func() (*jpeg.Picture, error) {
		p, err := resample(l.bands(), l.head, width, height)
		if err == nil {
			p.Segments = resizedSegments(p.Segments, float64(width)/float64(l.head.Width))
		}
		return p, err
	}
	var err error
	if s.picture, err = s.again(); err != nil {
		return nil, err
	}
	return s, s.begin()
}

// firstGuess gives the factor on the sides with which the photo may fit at good quality.
func (l *ladder) firstGuess() (float64, error) {
	factor := 1.
	if area := float64(l.head.Width) * float64(l.head.Height); l.to.Pixels > 0 {
		factor = min(factor, math.Sqrt(float64(l.to.Pixels)/area))
	}
	s := &squeeze{ladder: l, from: l.bands()}
	if err := s.begin(); err != nil {
		return 0, err
	}
	steps := jpeg.NewQuantisers(len(l.head.Components)).Coarser(good)
	for i, own := range s.finest {
		finer := *steps[i]
		for k := range finer {
			finer[k] = max(finer[k], own[k])
		}
		steps[i] = &finer
	}
	bytes, err := s.estimate(steps)
	if err != nil {
		return 0, err
	}
	return min(factor, math.Pow(float64(l.to.Bytes)/bytes, 1/decline)), nil
}

// size gives the sides for a factor: not under the floor, within what the destination takes and what can be
// held.
func (l *ladder) size(factor float64) (width, height int, ok bool) {
	w, h := float64(l.head.Width), float64(l.head.Height)
	if held := float64(l.head.Memory()) * factor * factor; held > heldMemory {
		factor *= math.Sqrt(heldMemory / held)
	}
	factor = min(1, max(factor, float64(min(l.floor.Side, l.head.Width, l.head.Height))/min(w, h)))
	width, height = max(1, int(w*factor+0.5)), max(1, int(h*factor+0.5))
	if l.to.Pixels > 0 && tooMany(width, height, l.to.Pixels) { // rounded up, or the floor
		width, height = max(1, int(w*factor)), max(1, int(h*factor))
	}
	return width, height, l.to.Pixels <= 0 || !tooMany(width, height, l.to.Pixels)
}
