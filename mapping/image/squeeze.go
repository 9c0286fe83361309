package image

import (
	"math"

	"github.com/dermgate/dermgate/mapping/image/jpeg"
)

// squeeze finds how coarse the steps of a picture must be for it to fit: by a sample of it, so that the whole
// is encoded twice at most.
type squeeze struct {
	*ladder
	picture *jpeg.Picture                 // when it is held, until it is requantised
	again   func() (*jpeg.Picture, error) // makes it anew
	from    jpeg.Bands                    // when it is not held
	finest  jpeg.Quantisers               // the best that may come of it
	sample  *jpeg.Picture
	times   float64 // as much there is of the picture
	scans   bool    // written progressive
	heads   int     // bytes of headers and tables that scans take besides
	factor  float64 // bytes of the form it is written in, for one of its blocks in a single scan
}

// sampled is of how many rows of MCUs a sample has one.
const sampled = 16

// squeeze begins with the photo itself.
func (l *ladder) squeeze(finest jpeg.Quantisers) (*squeeze, error) {
	s := &squeeze{ladder: l, finest: finest}
	if !l.held {
		s.from = l.bands()
		return s, s.begin()
	}
	var err error
	if s.picture, err = l.decode(); err != nil {
		return nil, err
	}
	s.again = l.decode
	return s, s.begin()
}

// begin takes a sample of the picture. Its own quantisers are the finest, when no others are given.
func (s *squeeze) begin() (err error) {
	bands := s.from
	if s.picture != nil {
		bands = s.picture.Bands()
	}
	if s.sample, s.times, err = jpeg.Sample(bands, sampled); err != nil {
		return err
	}
	if s.finest == nil {
		s.finest = s.sample.Quantisers()
	}
	return s.choose()
}

// oneScan is the factor of a file with one scan: zeros behind 0xFF.
const oneScan = 1 + 1./256

// choose decides on the form to write in by the sample.
func (s *squeeze) choose() error {
	saved, err := s.calibrate(s.finest)
	if s.scans = saved > 0; !s.scans {
		s.heads, s.factor = 0, oneScan
	}
	return err
}

// calibrate sees how many bytes the sample takes with some quantisers in scans, and how many those save of the picture.
func (s *squeeze) calibrate(q jpeg.Quantisers) (saved float64, err error) {
	head, blocks, err := jpeg.Measure(jpeg.Requantise(s.sample.Bands(), q, nil))
	if err != nil || blocks == 0 {
		return 0, err
	}
	heads, inScans, err := jpeg.MeasureProgressive(jpeg.Requantise(s.sample.Bands(), q, nil))
	s.heads, s.factor = heads-head, inScans/blocks*oneScan
	return (blocks-inScans)*s.times*oneScan - float64(s.heads), err
}

// estimate tells how many bytes the picture takes with some quantisers.
func (s *squeeze) estimate(q jpeg.Quantisers) (float64, error) {
	head, blocks, err := jpeg.Measure(jpeg.Requantise(s.sample.Bands(), q, nil))
	return float64(head+s.heads) + blocks*s.times*s.factor, err
}

// search gives the finest quantisers with which the picture is estimated to take no more bytes than aimed at,
// nil when those would be under the floor.
func (s *squeeze) search(aim float64) (jpeg.Quantisers, error) {
	if !s.scans {
		factor, err := s.coarseness(aim, 6)
		return s.coarser(factor), err
	}
	factor, err := s.coarseness(aim, 4)
	if factor == 0 || err != nil {
		return nil, err
	}
	// What scans save depends on the quantisers: now it is known better.
	if _, err := s.calibrate(s.coarser(factor)); err != nil {
		return nil, err
	}
	if n, err := s.estimate(s.coarser(factor)); err != nil {
		return nil, err
	} else if n > aim {
		factor, err = s.coarseness(aim, 6)
		return s.coarser(factor), err
	}
	low := factor
	for enough := true; enough && low > 1; {
		low = max(1, low/1.2)
		n, err := s.estimate(s.coarser(low))
		if err != nil {
			return nil, err
		}
		if enough = n <= aim; enough {
			factor = low
		}
	}
	factor, err = s.between(low, factor, aim, 5)
	return s.coarser(factor), err
}

// coarser gives quantisers by a factor on the finest; nil for 0.
func (s *squeeze) coarser(factor float64) jpeg.Quantisers {
	if factor == 0 {
		return nil
	}
	return s.finest.Coarser(factor)
}

// coarseness gives the least factor on the finest quantisers that is enough, by so many halvings; 0 when there is none above
// the floor.
func (s *squeeze) coarseness(aim float64, halvings int) (float64, error) {
	for low, high := 1., 1.; high < 256; low, high = high, high*1.5 { // beyond, every step is the largest
		q := s.finest.Coarser(high)
		n, err := s.estimate(q)
		switch {
		case err != nil || q.Quality() < s.floor.Quality:
			return 0, err
		case n <= aim:
			return s.between(low, high, aim, halvings)
		}
	}
	return 0, nil
}

// between narrows down a factor that is too fine and one that is coarse enough.
func (s *squeeze) between(low, high, aim float64, halvings int) (float64, error) {
	for step := 0; step < halvings && low < high; step++ {
		middle := math.Sqrt(low * high)
		n, err := s.estimate(s.finest.Coarser(middle))
		switch {
		case err != nil:
			return 0, err
		case n > aim:
			low = middle
		default:
			high = middle
		}
	}
	return high, nil
}

// optimise writes the same coefficients in fewer bytes, if they are likely to fit.
func (s *squeeze) optimise() (*rung, error) {
	expected, err := s.estimate(s.finest)
	if err != nil || expected > float64(s.to.Bytes)*1.02 {
		return nil, err
	}
	b, err := s.write(s.from)
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > s.to.Bytes {
		s.times *= float64(len(b)) / expected
		return nil, nil
	}
	return &rung{b, Optimised, nil, sameness}, nil
}

// write encodes the picture if it is held, or bands.
func (s *squeeze) write(bands jpeg.Bands) ([]byte, error) {
	s.encodes++
	if s.picture != nil {
		bands = s.picture.Bands()
	}
	if s.scans {
		return jpeg.EncodeProgressive(bands)
	}
	return jpeg.EncodeBands(bands)
}

// requantise rounds coefficients to the steps that make the picture fit; nil when they would be too coarse.
func (s *squeeze) requantise() (*rung, error) {
	first := 0.99 // of the bytes
	if s.encodes > 0 {
		first = 0.96 // a second encoding is the last
	}
	for _, aim := range []float64{first, 0.997} { // the second after the first was found wrong
		q, err := s.search(float64(s.to.Bytes) * aim)
		if q == nil || err != nil {
			return nil, err
		}
		out, expected, err := s.attempt(q)
		if err != nil || out == nil || int64(len(out.bytes)) <= s.to.Bytes {
			return out, err
		}
		s.times *= float64(len(out.bytes)) / expected
	}
	return nil, nil
}

// attempt writes the picture with some quantisers, and says how many bytes were expected; nil when too little
// is left of it.
func (s *squeeze) attempt(q jpeg.Quantisers) (_ *rung, expected float64, err error) {
	like, err := compare(s.sample.Bands(), q)
	if err != nil || like.SSIM < s.floor.SSIM-0.005 {
		return nil, 0, err
	}
	if expected, err = s.estimate(q); err != nil {
		return nil, 0, err
	}
	b, like, err := s.rounded(q)
	if err != nil || like.SSIM < s.floor.SSIM {
		return nil, 0, err
	}
	return &rung{b, Requantised, q, like}, expected, nil
}

// rounded writes the picture with some quantisers. One that is held is changed for it, and made anew when it is
// wanted again: two of them would be too much memory.
func (s *squeeze) rounded(q jpeg.Quantisers) (b []byte, like Likeness, err error) {
	var c comparison
	if s.again == nil {
		b, err = s.write(jpeg.Requantise(s.from, q, c.add))
		return b, c.likeness(), err
	}
	if s.picture == nil {
		if s.picture, err = s.again(); err != nil {
			return nil, like, err
		}
	}
	if err = s.picture.Requantise(q, c.add); err != nil {
		return nil, like, err
	}
	if like = c.likeness(); like.SSIM >= s.floor.SSIM {
		b, err = s.write(nil)
	}
	s.picture = nil
	return b, like, err
}

// compare tells how like a picture is to itself with other quantisers.
func compare(from jpeg.Bands, q jpeg.Quantisers) (Likeness, error) {
	var c comparison
	err := jpeg.Requantise(from, q, c.add)(func(*jpeg.Band) error { return nil })
	return c.likeness(), err
}
