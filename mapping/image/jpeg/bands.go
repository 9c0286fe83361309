package jpeg

import "math/bits"

// magnitudes tell of the blocks of a plane which coefficients are at least 1, 2 and 4 from 0: as much as the
// scans of a script ask for. Bits of a mask are coefficients.
type magnitudes [3][]uint64

// magnitudes sorts the coefficients of a band.
func (b *Band) magnitudes(out []magnitudes) {
	for i, plane := range b.Planes {
		m := &out[i]
		m[0] = plane.masks
		if len(m[1]) < len(plane.masks) {
			m[1], m[2] = make([]uint64, len(plane.masks)), make([]uint64, len(plane.masks))
		}
		for at, mask := range plane.masks {
			block := (*[64]int16)(plane.coefs[blockSize*at:])
			var m2, m4 uint64
			for left := mask; left != 0; left &= left - 1 {
				k := bits.TrailingZeros64(left)
				v := int(block[k&63])
				sign := v >> 63
				v = (v ^ sign) - sign
				m2 |= uint64(1-v) >> 63 << k
				m4 |= uint64(3-v) >> 63 << k
			}
			m[1][at], m[2][at] = m2, m4
		}
	}
}

func bandMask(from, to int) uint64 { return ^uint64(0) >> (63 - to) &^ (1<<from - 1) }

// blockRun are the blocks of which nothing more is to be said, and that has not been written.
type blockRun struct {
	skipped int
	pending []corrections // of those blocks
}

// corrections are bits of coefficients that were not 0 before, at most one for each of a block.
type corrections struct {
	bits uint64
	n    int
}

// bandAC writes the AC coefficients of a component in a band.
func (w *passWriter) bandAC(b *Band, large []magnitudes) {
	c, plane, keep := &b.Components[w.component], &b.Planes[w.component], bandMask(w.from, w.to)
	low, high := large[w.component][w.low], large[w.component][w.high]
	for y := range b.rows(w.component) {
		for x := range c.Across {
			at := y*c.stride + x
			block, some := (*[64]int16)(plane.coefs[blockSize*at:]), low[at]&keep
			switch {
			case w.high == 0:
				w.first(block, some)
			case w.freq != nil:
				more := high[at] & keep
				w.extra += int64(bits.OnesCount64(more))
				w.count(some&^more, more)
			default:
				more := high[at] & keep
				w.refine(block, some&^more, more)
			}
		}
	}
}

// first writes the coefficients of a block, those that are not 0 without their lowest bits.
func (w *passWriter) first(b *[64]int16, some uint64) {
	at := w.from - 1
	for m := some; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		v := int(b[k&63])
		sign := v >> 63
		v = ((v ^ sign) - sign) >> w.low
		w.flushSkipped()
		run := k - at - 1
		for ; run > 15; run -= 16 {
			w.symbol(0xf0, 0, 0)
		}
		size := bits.Len(uint(v))
		w.symbol((run<<4|size)&255, uint64(v^sign)&(1<<size-1), size)
		at = k
	}
	if at < w.to {
		w.skip(corrections{})
	}
}

// skip notes that nothing more comes of a block but corrections.
func (w *passWriter) skip(c corrections) {
	w.run.skipped++
	if c.n > 0 {
		w.run.pending = append(w.run.pending, c)
	}
	if w.run.skipped == 1<<15-1 {
		w.flushSkipped()
	}
}

// flushSkipped writes a run of blocks that end (EOBRUN), and their corrections.
func (w *passWriter) flushSkipped() {
	if w.run.skipped > 0 {
		w.endRun()
	}
}

func (w *passWriter) endRun() {
	n := bits.Len(uint(w.run.skipped)) - 1
	w.extra += int64(n)
	w.symbol(n<<4, uint64(w.run.skipped)&(1<<n-1), n)
	w.run.skipped = 0
	for _, c := range w.run.pending {
		w.correct(c)
	}
	w.run.pending = w.run.pending[:0]
}

func (w *passWriter) correct(c corrections) {
	if c.n > 32 {
		w.put(c.bits>>32&(1<<(c.n-32)-1), c.n-32)
		c.n = 32
	}
	w.put(c.bits&(1<<c.n-1), c.n)
}

// count counts the symbols of refine.
func (w *passWriter) count(ones, more uint64) {
	zeros, at := ^(ones | more), w.from
	for m := ones; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		run := bits.OnesCount64(zeros & between(at, k))
		w.flushSkipped()
		w.freq[0xf0] += run >> 4
		w.freq[(run&15)<<4|1]++
		at = k + 1
	}
	if at <= w.to {
		w.skip(corrections{})
	}
}

// refine writes one more bit of each coefficient of a block: those that become 1 or -1 have a symbol with the
// run of zeros before them, those that were more before a correction, behind the symbol in whose run they are.
func (w *passWriter) refine(b *[64]int16, ones, more uint64) {
	zeros, at := ^(ones | more), w.from
	for m := ones; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		w.flushSkipped()
		run := bits.OnesCount64(zeros & between(at, k))
		for ; run > 15; run -= 16 {
			end := sixteenth(zeros & between(at, k))
			w.symbol(0xf0, 0, 0)
			w.correct(w.bitsOf(b, more&between(at, end)))
			at = end + 1
		}
		sign := uint64(b[k&63]) >> 63
		w.symbol(run<<4|1, 1-sign, 1)
		w.correct(w.bitsOf(b, more&between(at, k)))
		at = k + 1
	}
	if at <= w.to {
		w.skip(w.bitsOf(b, more&between(at, w.to+1)))
	}
}

// between is the mask of coefficients from one on and before another.
func between(from, to int) uint64 { return (1<<to - 1) &^ (1<<from - 1) }

// sixteenth gives the place of the sixteenth bit that is set.
func sixteenth(m uint64) int {
	for range 15 {
		m &= m - 1
	}
	return bits.TrailingZeros64(m)
}

// bitsOf collects the bit that comes now of some coefficients.
func (w *passWriter) bitsOf(b *[64]int16, some uint64) (c corrections) {
	for m := some; m != 0; m &= m - 1 {
		v := int(b[bits.TrailingZeros64(m)&63])
		sign := v >> 63
		c.bits = c.bits<<1 | uint64((v^sign)-sign)>>w.low&1
		c.n++
	}
	return c
}
