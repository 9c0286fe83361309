package image

import (
	"cmp"
	"math"
	"slices"

	"github.com/dermgate/dermgate/mapping/image/jpeg"
)

// trial is what the sample of a picture takes in a single scan, its finest steps made coarser by a factor.
type trial struct {
	factor float64
	head   int     // bytes of headers and tables
	blocks float64 // bytes of all blocks
}

// try measures the sample with coarser steps, once for each factor.
func (s *squeeze) try(factor float64) (*trial, error) {
	at, known := slices.BinarySearchFunc(s.trials, factor, func(t *trial, factor float64) int { return cmp.Compare(t.factor, factor) })
	if known {
		return s.trials[at], nil
	}
	t, err := s.measure(s.finest.Coarser(factor))
	if err == nil {
		t.factor = factor
		s.trials = slices.Insert(s.trials, at, t)
	}
	return t, err
}

func (s *squeeze) measure(q jpeg.Quantisers) (*trial, error) {
	head, blocks, err := jpeg.Measure(jpeg.Requantise(s.sample.Bands(), q, nil))
	return &trial{head: head, blocks: blocks}, err
}

// bytes tells how many the whole picture is likely to take.
func (s *squeeze) bytes(t *trial) float64 { return float64(t.head+s.heads) + t.blocks*s.times*s.factor }

// estimate tells how many bytes the picture takes with some quantisers.
func (s *squeeze) estimate(q jpeg.Quantisers) (float64, error) {
	t, err := s.measure(q)
	return s.bytes(t), err
}

// search gives the finest quantisers with which the picture is estimated to take no more bytes than aimed at,
// nil when those would be under the floor.
func (s *squeeze) search(aim float64) (jpeg.Quantisers, error) {
	most := s.coarsest()
	if s.scans { // what they save depends on the quantisers
		t, err := s.least(aim, most, roughly)
		if t == nil || err != nil {
			return nil, err
		}
		if _, err := s.calibrate(t); err != nil {
			return nil, err
		}
	}
	found, err := s.least(aim, most, closely)
	if found == nil || err != nil {
		return nil, err
	}
	return s.finest.Coarser(found.factor), nil
}

// coarsest gives the largest factor on the finest quantisers that the floor allows; 0: not even they are above it.
func (s *squeeze) coarsest() float64 {
	allowed := func(factor float64) bool { return s.finest.Coarser(factor).Quality() >= s.floor.Quality }
	low, high := 1., 256. // beyond, every step is the largest
	switch {
	case !allowed(low):
		return 0
	case allowed(high):
		return high
	}
	for range 16 {
		if middle := math.Sqrt(low * high); allowed(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// precision is how much of the bytes aimed at is enough, and by how much factors may then still differ: there are stretches
// in which coarser steps save nothing.
type precision struct{ bytes, factor float64 }

var roughly, closely = precision{0.97, 1.2}, precision{0.997, 1.03}

// least gives the trial of the least factor, up to a most, that is enough for the bytes aimed at; nil when there is none.
func (s *squeeze) least(aim, most float64, p precision) (*trial, error) {
	if most < 1 {
		return nil, nil
	}
	for range 12 {
		large, enough := s.around(aim)
		switch {
		case large == nil, enough != nil && s.found(large, enough, aim, p):
			return enough, nil
		case enough == nil && large.factor >= most:
			return nil, nil
		}
		if _, err := s.try(s.next(large, enough, aim, most, p)); err != nil {
			return nil, err
		}
	}
	_, enough := s.around(aim)
	return enough, nil
}

// found tells that there is no use in looking between two trials.
func (s *squeeze) found(large, enough *trial, aim float64, p precision) bool {
	apart := enough.factor / large.factor
	return apart < 1.002 || apart < p.factor && s.bytes(enough) >= p.bytes*aim
}

// around gives the coarsest trial that is too large and the finest that is not.
func (s *squeeze) around(aim float64) (large, enough *trial) {
	for _, t := range s.trials {
		if s.bytes(t) <= aim {
			return large, t
		}
		large = t
	}
	return large, nil
}

// next gives a factor to try. Logarithms of bytes lie about on a line over those of factors, with a slope of about -0.7.
func (s *squeeze) next(large, enough *trial, aim, most float64, p precision) float64 {
	aim *= (1 + p.bytes) / 2
	over := math.Log(s.bytes(large) / aim)
	if enough == nil {
		return min(most, large.factor*math.Exp(max(over/0.7, 0.05)))
	}
	width := math.Log(enough.factor / large.factor)
	part := over / math.Log(s.bytes(large)/s.bytes(enough))
	if s.bytes(enough) >= p.bytes*aim {
		part = 0.5
	}
	return large.factor * math.Exp(width*min(0.95, max(0.05, part)))
}
