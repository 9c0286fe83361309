package jpeg

import "math/bits"

// Quantisers are those of all components of a picture.
type Quantisers []*[64]uint16

// Quantisers gives those that a picture has.
func (h *Header) Quantisers() (q Quantisers) {
	for _, c := range h.Components {
		q = append(q, c.Quant)
	}
	return q
}

// Coarser makes steps larger by a factor of 1 or more. What is behind the point makes the steps of high
// frequencies larger first, so that sizes follow the factor smoothly even where steps are 1 or 2. Steps stay
// within the 8 bits of baseline.
func (q Quantisers) Coarser(factor float64) Quantisers {
	out := make(Quantisers, len(q))
	for i, old := range q {
		out[i] = new([64]uint16)
		for k, v := range old {
			step := min(float64(v)*factor+(float64(k)+0.5)/blockSize, 255)
			out[i][k] = max(v, uint16(step))
		}
	}
	return out
}

// annexK has the steps of T.81 tables K.1 and K.2, in zigzag order.
var annexK = [2][64]uint16{{
	16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61, 60, 57, 51,
	56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113, 121, 112, 100, 120, 92, 101, 103, 99,
}, {
	17, 18, 18, 24, 21, 24, 47, 26, 26, 47, 99, 66, 56, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
}}

// Quality says where the steps of the first component stand on the usual scale of 1 to 100: the quality at
// which the tables of Annex K have the same steps on average.
func (q Quantisers) Quality() int {
	sum, of := 0, 0
	for k, v := range q[0] {
		sum, of = sum+int(v), of+int(annexK[0][k])
	}
	percent := 100 * float64(sum) / float64(of)
	if percent <= 100 {
		return int((200-percent)/2 + 0.5)
	}
	return max(1, int(5000/percent+0.5))
}

// Requantise gives bands with their coefficients rounded to other steps. watch, if there, sees each band
// before and after; what it is shown is good until it returns.
func Requantise(bands Bands, to Quantisers, watch func(before, after *Band)) Bands {
	return func(yield func(*Band) error) error {
		var out *Band
		var rounding []*[64]uint64
		return bands(func(b *Band) error {
			if out == nil {
				out, rounding = b.with(to)
			}
			out.Row, out.Segments = b.Row, b.Segments
			for i := range b.Planes {
				out.Planes[i].round(&b.Planes[i], rounding[i])
			}
			if watch != nil {
				watch(b, out)
			}
			return yield(out)
		})
	}
}

const roundingPoint = 24

// justUnderHalf rounds what stands in the middle towards zero: as near, in fewer bits. It is under the half by more than
// the error of a factor times a coefficient, and by less than what another fraction of 8 bits is away from it.
const justUnderHalf = 1<<(roundingPoint-1) - 1<<12

// with makes a band as large as another, of other quantisers, and the factors from one to the other.
func (b *Band) with(to Quantisers) (*Band, []*[64]uint64) {
	h := b.Header.with(to)
	return &Band{h, 0, h.planes(1)}, b.factors(to)
}

// with makes a header with other quantisers.
func (h *Header) with(to Quantisers) *Header {
	out := *h
	out.Components = append([]Component(nil), h.Components...)
	for i := range out.Components {
		out.Components[i].Quant = to[i]
	}
	return &out
}

// factors are what coefficients are to be multiplied with for other steps.
func (h *Header) factors(to Quantisers) []*[64]uint64 {
	out := make([]*[64]uint64, len(to))
	for i, c := range h.Components {
		out[i] = new([64]uint64)
		for k := range out[i] {
			out[i][k] = (uint64(c.Quant[k])<<roundingPoint + uint64(to[i][k])/2) / uint64(to[i][k])
		}
	}
	return out
}

// Requantise rounds the coefficients of a picture to other steps, in place. watch is as in the function of that
// name.
func (p *Picture) Requantise(to Quantisers, watch func(before, after *Band)) error {
	var before, after *Band
	factors := p.factors(to)
	coarse := p.Header.with(to)
	err := p.Bands()(func(b *Band) error {
		if before == nil {
			before = &Band{b.Header, 0, b.planes(1)}
			after = &Band{coarse, 0, nil}
		}
		before.Row, after.Row, after.Planes = b.Row, b.Row, b.Planes
		for i := range b.Planes {
			copy(before.Planes[i].coefs, b.Planes[i].coefs)
			copy(before.Planes[i].masks, b.Planes[i].masks)
			b.Planes[i].round(&before.Planes[i], factors[i])
		}
		if watch != nil {
			watch(before, after)
		}
		return nil
	})
	p.Header = *coarse
	return err
}

// round fills a plane with the coefficients of another, times factors.
func (p *Plane) round(from *Plane, factors *[64]uint64) {
	clear(p.coefs)
	for at, mask := range from.masks {
		in, out := (*[64]int16)(from.coefs[blockSize*at:]), (*[64]int16)(p.coefs[blockSize*at:])
		left := uint64(0)
		for m := mask; m != 0; m &= m - 1 {
			k := bits.TrailingZeros64(m) & 63
			v := int64(in[k])
			sign := v >> 63
			size := int64((uint64((v^sign)-sign)*factors[k] + justUnderHalf) >> roundingPoint)
			out[k] = int16((size ^ sign) - sign)
			left |= m & -m & uint64(-size>>63)
		}
		p.masks[at] = left
	}
}

// fewest is how many bands a sample has, if the picture has them.
const fewest = 12

// Sample makes a picture of every n-th band, or of more where there would be too few, that much less high, and says how much
// there is to be written of the whole for one of it: bands differ, and those with more coefficients take more bytes. The
// last band, which may be partly outside the picture, is never in a sample of less than all.
func Sample(bands Bands, n int) (p *Picture, ratio float64, err error) {
	p = new(Picture)
	taken := 0
	var all, sampled int
	err = bands(func(b *Band) error {
		if p.Planes == nil {
			p.Header = *b.Header
			n = max(1, min(n, b.mcusDown()/fewest))
			p.Planes = p.Header.planes(divUp(b.mcusDown(), n))
		}
		p.Segments = b.Segments
		weight := b.weight()
		all += weight
		if b.Row%n != n/2 || n > 1 && b.Row == b.mcusDown()-1 {
			return nil
		}
		for i, c := range p.Components {
			at := taken * c.stride * c.V
			copy(p.Planes[i].coefs[blockSize*at:], b.Planes[i].coefs)
			copy(p.Planes[i].masks[at:], b.Planes[i].masks)
		}
		taken++
		sampled += weight
		return nil
	})
	if err != nil || n == 1 {
		return p, 1, err
	}
	ratio = float64(all) / float64(sampled)
	p.Components = append([]Component(nil), p.Components...)
	p.Height = taken * 8 * p.vMax
	p.measure()
	return p, ratio, nil
}

// weight is what a band takes to be written, roughly: coefficients that are not 0, and ends of blocks.
func (b *Band) weight() (n int) {
	for _, p := range b.Planes {
		n += len(p.masks)
		for _, m := range p.masks {
			n += 2 * bits.OnesCount64(m)
		}
	}
	return n
}

// Measure gives how many bytes bands take in one scan with the best Huffman tables: what stands before the
// blocks, and the blocks, but for zeros behind 0xFF.
func Measure(bands Bands) (head int, blocks float64, err error) {
	s, err := newSequential(bands)
	if err != nil {
		return 0, 0, err
	}
	return len(s.head()), float64(s.bits) / 8, nil
}
