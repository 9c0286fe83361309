package jpeg

import "math/bits"

// marks tell of the coefficients of a block what the scans of a script ask. Bits of a mask are coefficients.
type marks struct {
	least [3]uint64 // at least 1, 2 and 4 from 0
	digit [2]uint64 // the last binary digit of their size, and the one before
	minus uint64
}

// mark marks the blocks of a band.
func (b *Band) mark(out [][]marks) {
	for i, plane := range b.Planes {
		if len(out[i]) < len(plane.masks) {
			out[i] = make([]marks, len(plane.masks))
		}
		for at, mask := range plane.masks {
			out[i][at] = markBlock((*[64]int16)(plane.coefs[blockSize*at:]), mask)
		}
	}
}

// markBlock looks at four coefficients at a time, in the quarters of a word.
func markBlock(b *[64]int16, mask uint64) marks {
	const ones = 0x0001_0001_0001_0001 // one in each quarter
	var last, before, four, minus uint64
	for i := range blockSize / 4 {
		c := (*[4]int16)(b[4*i:])
		v := uint64(uint16(c[0])) | uint64(uint16(c[1]))<<16 | uint64(uint16(c[2]))<<32 | uint64(uint16(c[3]))<<48
		negative := v >> 15 & ones
		size := v ^ negative*0xffff + negative
		last |= size & ones << i
		before |= size >> 1 & ones << i
		four |= (size>>2&(0x3fff*ones) + 0x3fff*ones) >> 14 & ones << i
		minus |= negative << i
	}
	m := marks{minus: inOrder(minus), digit: [2]uint64{inOrder(last), inOrder(before)}}
	four = inOrder(four)
	m.least = [3]uint64{mask, four | m.digit[1], four}
	return m
}

// inOrder takes bit i of quarter n to bit 4i+n: as a table of four rows turned, by exchanging digits of the places of bits
// (Warren, Hacker's Delight, §7-3).
func inOrder(v uint64) uint64 {
	v = exchange(v, 24, 0x0000_0000_ff00_ff00)
	v = exchange(v, 12, 0x0000_f0f0_0000_f0f0)
	v = exchange(v, 6, 0x00cc_00cc_00cc_00cc)
	return exchange(v, 3, 0x0a0a_0a0a_0a0a_0a0a)
}

// exchange exchanges the bits of a mask with those so many places above.
func exchange(v uint64, places int, mask uint64) uint64 {
	t := (v ^ v>>places) & mask
	return v ^ t ^ t<<places
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

// bandAC counts or writes the AC coefficients of a component in a band.
func (w *passWriter) bandAC(b *Band, all [][]marks) {
	c, plane, keep := &b.Components[w.component], &b.Planes[w.component], bandMask(w.from, w.to)
	for y := range b.rows(w.component) {
		for x := range c.Across {
			at := y*c.stride + x
			m := &all[w.component][at]
			some := m.least[w.low] & keep
			if w.high == 0 {
				w.first((*[64]int16)(plane.coefs[blockSize*at:]), some)
			} else {
				more := m.least[w.high] & keep
				w.refine(m, some&^more, more)
			}
		}
	}
}

// first counts or writes the coefficients of a block, those that are not 0 without their lowest bits.
func (w *passWriter) first(b *[64]int16, some uint64) {
	if some != 0 {
		w.flushSkipped()
	}
	at := w.from - 1
	for m := some; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		v := int(b[k&63])
		sign := v >> 63
		v = ((v ^ sign) - sign) >> (w.low & 15)
		run := k - at - 1
		for ; run > 15; run -= 16 {
			w.symbol(0xf0, 0, 0)
		}
		size := bits.Len(uint(v)) & 63
		sym := (run<<4 | size) & 255
		if w.freq != nil {
			w.freq[sym]++
		} else {
			w.put(uint64(w.code.code[sym])<<size|uint64(v^sign)&(1<<size-1), int(w.code.length[sym])+size)
		}
		at = k
	}
	if some>>(w.to&63) == 0 {
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

// refine writes one more bit of each coefficient of a block: those that become 1 or -1 have a symbol with the
// run of zeros before them, those that were more before a correction, behind the symbol in whose run they are.
func (w *passWriter) refine(m *marks, ones, more uint64) {
	if w.freq != nil {
		w.extra += int64(bits.OnesCount64(more))
		w.countRefined(ones, more)
		return
	}
	if ones != 0 {
		w.flushSkipped()
	}
	digits, zeros := m.digit[w.low], bandMask(w.from, w.to)&^(ones|more)
	for left := ones; left != 0; left &= left - 1 {
		one := left & -left
		run := bits.OnesCount64(zeros & (one - 1))
		for ; run > 15; run -= 16 {
			end := sixteenth(zeros)
			w.symbol(0xf0, 0, 0)
			w.correct(digitsOf(digits, more&(end-1)))
			zeros, more = zeros&^(end|(end-1)), more&^(end-1)
		}
		sign := uint64(1)
		if m.minus&one != 0 {
			sign = 0
		}
		sym := (run<<4 | 1) & 255
		w.put(uint64(w.code.code[sym])<<1|sign, int(w.code.length[sym])+1)
		if c := digitsOf(digits, more&(one-1)); c.n > 0 {
			w.correct(c)
		}
		zeros, more = zeros&^(one-1), more&^(one-1)
	}
	if ones>>(w.to&63) == 0 {
		w.skip(digitsOf(digits, more))
	}
}

// countRefined counts the symbols of refine.
func (w *passWriter) countRefined(ones, more uint64) {
	if ones != 0 {
		w.flushSkipped()
	}
	zeros := bandMask(w.from, w.to) &^ (ones | more)
	for left := ones; left != 0; left &= left - 1 {
		below := left&-left - 1
		run := bits.OnesCount64(zeros & below)
		w.freq[0xf0] += run >> 4
		w.freq[(run&15)<<4|1]++
		zeros &^= below
	}
	if ones>>(w.to&63) == 0 {
		w.skip(corrections{})
	}
}

// sixteenth gives the sixteenth bit that is set, alone.
func sixteenth(m uint64) uint64 {
	for range 15 {
		m &= m - 1
	}
	return m & -m
}

// digitsOf collects the digits of some coefficients.
func digitsOf(digits, some uint64) (c corrections) {
	for ; some != 0; some &= some - 1 {
		c.bits = c.bits<<1 | digits>>(bits.TrailingZeros64(some)&63)&1
		c.n++
	}
	return c
}
