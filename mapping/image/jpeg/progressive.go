package jpeg

import "math/bits"

// pass is a scan to be written (T.81 §G.1.1).
type pass struct {
	component int // -1: all, which only DC can be
	from, to  int // coefficients
	high, low int // the lowest bit that came before, 0 for none, and that comes now
}

// script gives the scans of a picture: all of it coarse, then finer, as the Independent JPEG Group's library
// does it: DC; the first coefficients of luma; chroma, which is small; the rest of luma; then bit by bit.
func (h *Header) script() []pass {
	out := []pass{{-1, 0, 0, 0, 1}}
	if len(h.Components) == 3 && !h.RGB() {
		return append(out, pass{0, 1, 5, 0, 2}, pass{2, 1, 63, 0, 1}, pass{1, 1, 63, 0, 1}, pass{0, 6, 63, 0, 2}, pass{0, 1, 63, 2, 1},
			pass{-1, 0, 0, 1, 0}, pass{2, 1, 63, 1, 0}, pass{1, 1, 63, 1, 0}, pass{0, 1, 63, 1, 0})
	}
	for i := range h.Components {
		out = append(out, pass{i, 1, 5, 0, 2}, pass{i, 6, 63, 0, 2})
	}
	for i := range h.Components {
		out = append(out, pass{i, 1, 63, 2, 1})
	}
	out = append(out, pass{-1, 0, 0, 1, 0})
	for i := range h.Components {
		out = append(out, pass{i, 1, 63, 1, 0})
	}
	return out
}

// EncodeProgressive writes a picture in ten or so scans.
func (p *Picture) EncodeProgressive() []byte {
	out := p.head(nil, true)
	for _, s := range p.script() {
		switch {
		case s.from == 0 && s.high == 0:
			out = p.firstDC(out, s)
		case s.from == 0:
			out = p.refineDC(out, s)
		default:
			out = p.band(out, s)
		}
	}
	return append(out, 0xff, mEOI)
}

// scanHeader appends the SOS segment.
func (p *Picture) scanHeader(out []byte, s pass) []byte {
	var header []byte
	for i, c := range p.Components {
		switch {
		case s.component < 0 && s.high == 0:
			header = append(header, c.ID, byte(p.tableOf(i)<<4))
		case s.component < 0, s.component == i:
			header = append(header, c.ID, 0)
		}
	}
	n := byte(len(header) / 2)
	return segment(out, mSOS, []byte{n}, header, []byte{byte(s.from), byte(s.to), byte(s.high<<4 | s.low)})
}

// firstDC appends the scan of DC coefficients but for their lowest bits.
func (p *Picture) firstDC(out []byte, s pass) []byte {
	var freq [2]frequencies
	p.differences(s.low, func(t, diff int) {
		size, _ := split(diff)
		freq[t][size]++
	})
	var tables [2]*codes
	for i := range p.tableCount() {
		tables[i] = freq[i].codes()
		out = tables[i].table(out, 0, byte(i))
	}
	w := bitWriter{out: p.scanHeader(out, s)}
	p.differences(s.low, func(t, diff int) {
		size, low := split(diff)
		w.put(uint64(tables[t].code[size])<<size|low, int(tables[t].length[size])+size)
	})
	w.end()
	return w.out
}

// differences visits what each DC coefficient adds to the one before, in the order of MCUs, with its table.
func (p *Picture) differences(low int, visit func(table, diff int)) {
	var last [4]int
	p.everyBlock(func(i int, b *[64]int16) {
		if b == nil {
			visit(p.tableOf(i), 0)
			return
		}
		v := int(b[0]) >> low
		visit(p.tableOf(i), v-last[i])
		last[i] = v
	})
}

// everyBlock visits the blocks of all components in the order of MCUs, nil for those that only fill them up.
func (p *Picture) everyBlock(visit func(component int, b *[64]int16)) {
	for y := range p.mcusDown() {
		for x := range p.mcusAcross() {
			for i := range p.Components {
				c := &p.Components[i]
				for v := range c.V {
					for h := range c.H {
						bx, by := x*c.H+h, y*c.V+v
						if bx >= c.Across || by >= c.Down {
							visit(i, nil)
							continue
						}
						visit(i, (*[64]int16)(p.Planes[i].coefs[blockSize*(by*c.stride+bx):]))
					}
				}
			}
		}
	}
}

// refineDC appends a scan with one more bit of the DC coefficients.
func (p *Picture) refineDC(out []byte, s pass) []byte {
	w := bitWriter{out: p.scanHeader(out, s)}
	p.everyBlock(func(_ int, b *[64]int16) {
		bit := uint64(0)
		if b != nil {
			bit = uint64(b[0]>>s.low) & 1
		}
		w.put(bit, 1)
	})
	w.end()
	return w.out
}

// band appends a scan of AC coefficients.
func (p *Picture) band(out []byte, s pass) []byte {
	var freq frequencies
	w := bandWriter{pass: s, coder: coder{freq: &freq}, keep: bandMask(s.from, s.to)}
	w.write(p)
	w.code, w.freq = freq.codes(), nil
	w.out = p.scanHeader(w.code.table(out, 1, 0), s)
	w.write(p)
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
	fresh   corrections   // since the last symbol
}

// corrections are bits of coefficients that were not 0 before, at most one for each of a block.
type corrections struct {
	bits uint64
	n    int
}

func (w *bandWriter) write(p *Picture) {
	c, plane := &p.Components[w.component], &p.Planes[w.component]
	for y := range c.Down {
		for x := range c.Across {
			at := y*c.stride + x
			b, mask := (*[64]int16)(plane.coefs[blockSize*at:]), plane.masks[at]&w.keep
			if w.high == 0 {
				w.first(b, mask)
			} else {
				w.refine(b, mask)
			}
		}
	}
	w.flushSkipped()
}

// first writes the coefficients of a block but for their lowest bits.
func (w *bandWriter) first(b *[64]int16, mask uint64) {
	at := w.from - 1
	for m := mask; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		v := int(b[k&63])
		sign := v >> 63
		v = ((v ^ sign) - sign) >> w.low
		if v == 0 {
			continue
		}
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
		w.skip()
	}
}

// skip notes that nothing more comes of a block but corrections.
func (w *bandWriter) skip() {
	w.skipped++
	if w.fresh.n > 0 && w.freq == nil {
		w.pending = append(w.pending, w.fresh)
	}
	w.fresh = corrections{}
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
	if w.freq != nil {
		return
	}
	if c.n > 32 {
		w.put(c.bits>>32&(1<<(c.n-32)-1), c.n-32)
		c.n = 32
	}
	w.put(c.bits&(1<<c.n-1), c.n)
}

// refine writes one more bit of each coefficient of a block: those that were not 0 before have a correction,
// those that become 1 or -1 a symbol with the run of zeros before them, in which corrections stand.
func (w *bandWriter) refine(b *[64]int16, mask uint64) {
	ones, more := sortOut(b, mask, w.low)
	at, last := w.from-1, bits.Len64(ones)-1
	run := 0 // zeros since the last symbol
	for m := ones | more; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		run += k - at - 1
		at = k
		for ; run > 15 && k <= last; run -= 16 {
			w.flushSkipped()
			w.symbol(0xf0, 0, 0)
			w.correct(w.fresh)
			w.fresh = corrections{}
		}
		v := int(b[k&63])
		sign := v >> 63
		if more>>k&1 != 0 {
			bit := ((v ^ sign) - sign) >> w.low & 1
			w.fresh = corrections{w.fresh.bits<<1 | uint64(bit), w.fresh.n + 1}
			continue
		}
		w.flushSkipped()
		w.symbol(run<<4|1, uint64(1+sign), 1)
		w.correct(w.fresh)
		w.fresh = corrections{}
		run = 0
	}
	if run+w.to-at > 0 || w.fresh.n > 0 {
		w.skip()
	}
}

// sortOut tells the coefficients of a block that become 1 or -1 with a bit from those that are larger.
func sortOut(b *[64]int16, mask uint64, low int) (ones, more uint64) {
	for m := mask; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		v := int(b[k&63])
		sign := v >> 63
		v = ((v ^ sign) - sign) >> low
		ones |= uint64((v^1)-1) >> 63 << k
		more |= uint64(1-v) >> 63 << k
	}
	return ones, more
}
