package jpeg

import "math/bits"

// magnitudes tell of the blocks of a plane which coefficients are at least 1, 2 and 4 from 0: as much as the
// scans of a script ask for. Bits of a mask are coefficients.
type magnitudes [3][]uint64

// magnitudes sorts the coefficients of all components.
func (p *Picture) magnitudes() []magnitudes {
	out := make([]magnitudes, len(p.Planes))
	for i, plane := range p.Planes {
		two, four := make([]uint64, len(plane.masks)), make([]uint64, len(plane.masks))
		for at, mask := range plane.masks {
			b := (*[64]int16)(plane.coefs[blockSize*at:])
			var m2, m4 uint64
			for m := mask; m != 0; m &= m - 1 {
				k := bits.TrailingZeros64(m)
				v := int(b[k&63])
				sign := v >> 63
				v = (v ^ sign) - sign
				m2 |= uint64(1-v) >> 63 << k
				m4 |= uint64(3-v) >> 63 << k
			}
			two[at], four[at] = m2, m4
		}
		out[i] = magnitudes{plane.masks, two, four}
	}
	return out
}

// band appends a scan of AC coefficients.
func (p *Picture) band(out []byte, s pass, large magnitudes) []byte {
	var freq frequencies
	w := bandWriter{pass: s, coder: coder{freq: &freq}, keep: bandMask(s.from, s.to)}
	w.write(p, large)
	w.code, w.freq = freq.codes(), nil
	w.out = p.scanHeader(w.code.table(out, 1, 0), s)
	w.write(p, large)
	w.end()
	return w.out
}

func bandMask(from, to int) uint64 { return ^uint64(0) >> (63 - to) &^ (1<<from - 1) }

// bandWriter counts or writes a scan of AC coefficients.
type bandWriter struct {
	pass
	coder
	keep    uint64        // the coefficients of the scan
	skipped int           // blocks of which nothing more is to be said, and that has not been written
	pending []corrections // of those blocks
}

// corrections are bits of coefficients that were not 0 before, at most one for each of a block.
type corrections struct {
	bits uint64
	n    int
}

func (w *bandWriter) write(p *Picture, large magnitudes) {
	c, plane := &p.Components[w.component], &p.Planes[w.component]
	for y := range c.Down {
		for x := range c.Across {
			at := y*c.stride + x
			b, some := (*[64]int16)(plane.coefs[blockSize*at:]), large[w.low][at]&w.keep
			switch {
			case w.high == 0:
				w.first(b, some)
			case w.freq != nil:
				more := large[w.high][at] & w.keep
				w.count(some&^more, more)
			default:
				more := large[w.high][at] & w.keep
				w.refine(b, some&^more, more)
			}
		}
	}
	w.flushSkipped()
}

// first writes the coefficients of a block, those that are not 0 without their lowest bits.
func (w *bandWriter) first(b *[64]int16, some uint64) {
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
func (w *bandWriter) skip(c corrections) {
	w.skipped++
	if c.n > 0 {
		w.pending = append(w.pending, c)
	}
	if w.skipped == 1<<15-1 {
		w.flushSkipped()
	}
}

// flushSkipped writes a run of blocks that end (EOBRUN), and their corrections.
func (w *bandWriter) flushSkipped() {
	if w.skipped > 0 {
		w.endRun()
	}
}

func (w *bandWriter) endRun() {
	n := bits.Len(uint(w.skipped)) - 1
	w.symbol(n<<4, uint64(w.skipped)&(1<<n-1), n)
	w.skipped = 0
	for _, c := range w.pending {
		w.correct(c)
	}
	w.pending = w.pending[:0]
}

func (w *bandWriter) correct(c corrections) {
	if c.n > 32 {
		w.put(c.bits>>32&(1<<(c.n-32)-1), c.n-32)
		c.n = 32
	}
	w.put(c.bits&(1<<c.n-1), c.n)
}

// count counts the symbols of refine.
func (w *bandWriter) count(ones, more uint64) {
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
func (w *bandWriter) refine(b *[64]int16, ones, more uint64) {
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
func (w *bandWriter) bitsOf(b *[64]int16, some uint64) (c corrections) {
	for m := some; m != 0; m &= m - 1 {
		v := int(b[bits.TrailingZeros64(m)&63])
		sign := v >> 63
		c.bits = c.bits<<1 | uint64((v^sign)-sign)>>w.low&1
		c.n++
	}
	return c
}
