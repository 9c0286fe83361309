package image

import "github.com/dermgate/dermgate/mapping/image/jpeg"

// squeeze finds how coarse the steps of a picture must be for it to fit: by a sample of it, so that the whole
// is encoded twice at most.
type squeeze struct {
	*ladder
	picture *jpeg.Picture                 // when it is held, until it is requantised
	again   func() (*jpeg.Picture, error) // makes it anew
	from    jpeg.Bands                    // when it is not held
	finest  jpeg.Quantisers               // the best that may come of it
	sample  *jpeg.Picture
	times   float64  // as much there is of the picture
	scans   bool     // written progressive
	heads   int      // bytes of headers and tables that scans take besides
	factor  float64  // bytes of the form it is written in, for one of its blocks in a single scan
	trials  []*trial // by factor, the first of 1
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
	finest, err := s.try(1)
	if err != nil {
		return err
	}
	saved, err := s.calibrate(finest)
	if s.scans = saved > 0; !s.scans {
		s.heads, s.factor = 0, oneScan
	}
	return err
}

// calibrate sees how many bytes the sample takes in scans with the steps of a trial, and how many those save of the picture.
func (s *squeeze) calibrate(t *trial) (saved float64, err error) {
	if t.blocks == 0 {
		return 0, nil
	}
	heads, inScans, err := jpeg.MeasureProgressive(jpeg.Requantise(s.sample.Bands(), s.finest.Coarser(t.factor), nil))
	s.heads, s.factor = heads-t.head, inScans/t.blocks*oneScan
	return (t.blocks-inScans)*s.times*oneScan - float64(s.heads), err
}

// optimise writes the same coefficients in fewer bytes, if they are likely to fit.
func (s *squeeze) optimise() (*rung, error) {
	expected := s.bytes(s.trials[0])
	if expected > float64(s.to.Bytes)*1.02 {
		return nil, nil
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
		out, err := s.attempt(q)
		if err != nil || out == nil || int64(len(out.bytes)) <= s.to.Bytes {
			return out, err
		}
		expected, err := s.estimate(q)
		if err != nil {
			return nil, err
		}
		s.times *= float64(len(out.bytes)) / expected
	}
	return nil, nil
}

// attempt writes the picture with some quantisers; nil when too little is left of it. Of one that is not held, that is seen
// by its sample first, most of the time.
func (s *squeeze) attempt(q jpeg.Quantisers) (*rung, error) {
	if s.again == nil {
		if like, err := compare(s.sample.Bands(), q); err != nil || like.SSIM < s.floor.SSIM-0.005 {
			return nil, err
		}
	}
	b, like, err := s.rounded(q)
	if err != nil || like.SSIM < s.floor.SSIM {
		return nil, err
	}
	return &rung{b, Requantised, q, like}, nil
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
