package jpeg

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
	out := p.head(make([]byte, 0, 1<<16), true)
	large := p.magnitudes()
	for _, s := range p.script() {
		switch {
		case s.from == 0 && s.high == 0:
			out = p.firstDC(out, s)
		case s.from == 0:
			out = p.refineDC(out, s)
		default:
			out = p.band(out, s, large[s.component])
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
