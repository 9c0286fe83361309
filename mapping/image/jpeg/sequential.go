package jpeg

import "math/bits"

// sequential is a picture about to be written with one scan, its symbols counted.
type sequential struct {
	*Header // as the first band has it
	bands   Bands
	dc, ac  [2]*codes
	bits    int64 // of all blocks
}

// newSequential counts the symbols and makes the tables.
func newSequential(bands Bands) (*sequential, error) {
	var dc, ac [2]frequencies
	count := scanWriter{}
	for i := range 2 {
		count.dc[i].freq, count.ac[i].freq = &dc[i], &ac[i]
	}
	if err := count.write(bands); err != nil {
		return nil, err
	}
	s := &sequential{Header: count.header, bands: bands}
	for i := range s.tableCount() {
		s.dc[i], s.ac[i] = dc[i].codes(), ac[i].codes()
		s.bits += dc[i].bits(s.dc[i]) + ac[i].bits(s.ac[i])
	}
	return s, nil
}

// size estimates the bytes: all but the zeros behind 0xFF, of which there is about one in 256 bytes.
func (s *sequential) size() int64 { return int64(len(s.head())) + s.bits/8 + s.bits/8/256 + 3 }

// head is everything before the blocks.
func (s *sequential) head() []byte {
	out := s.Header.head(nil, false)
	for i := range s.tableCount() {
		out = s.dc[i].table(out, 0, byte(i))
		out = s.ac[i].table(out, 1, byte(i))
	}
	header := []byte{byte(len(s.Components))}
	for i, c := range s.Components {
		header = append(header, c.ID, byte(0x11*s.tableOf(i)))
	}
	return segment(out, mSOS, append(header, 0, blockSize-1, 0))
}

func (s *sequential) encode() ([]byte, error) {
	out := make([]byte, 0, s.size()+s.bits/8/512)
	w := scanWriter{bitWriter: bitWriter{out: append(out, s.head()...)}}
	for i := range 2 {
		w.dc[i].code, w.ac[i].code = s.dc[i], s.ac[i]
	}
	if err := w.write(s.bands); err != nil {
		return nil, err
	}
	w.end()
	return append(w.out, 0xff, mEOI), nil
}

// scanWriter counts or writes the blocks of a sequential scan.
type scanWriter struct {
	bitWriter
	header *Header // of the first band
	dc, ac [2]struct {
		freq *frequencies
		code *codes
	}
	last [4]int // DC coefficient of the block before, of each component
}

func (w *scanWriter) write(bands Bands) error {
	return bands(func(b *Band) error {
		if w.header == nil {
			w.header = b.Header
		}
		return w.band(b)
	})
}

func (w *scanWriter) band(b *Band) error {
	for x := range w.header.mcusAcross() {
		for i := range b.Components {
			if !w.mcu(b, x, i) {
				return tooLarge()
			}
		}
	}
	return nil
}

// mcu writes the blocks of one component in an MCU. Those that fill the MCU up are written as cheaply as
// can be: no pixel comes of them.
func (w *scanWriter) mcu(b *Band, x, component int) bool {
	c, plane, rows := &b.Components[component], &b.Planes[component], b.rows(component)
	for v := range c.V {
		for h := range c.H {
			at := v*c.stride + x*c.H + h
			if v >= rows || x*c.H+h >= c.Across {
				w.padding(component)
			} else if !w.block(component, (*[64]int16)(plane.coefs[blockSize*at:]), plane.masks[at]) {
				return false
			}
		}
	}
	return true
}

func (w *scanWriter) padding(component int) {
	t := w.header.tableOf(component)
	dc, ac := &w.dc[t], &w.ac[t]
	if dc.freq != nil {
		dc.freq[0]++
		ac.freq[0]++
		return
	}
	w.put(uint64(dc.code.code[0]), int(dc.code.length[0]))
	w.put(uint64(ac.code.code[0]), int(ac.code.length[0]))
}

func (w *scanWriter) block(component int, b *[64]int16, mask uint64) bool {
	t := w.header.tableOf(component)
	diff := int(b[0]) - w.last[component]
	w.last[component] = int(b[0])
	size, low := split(diff)
	if size > 15 {
		return false
	}
	if freq := w.dc[t].freq; freq != nil {
		freq[size]++
		countAC(w.ac[t].freq, b, mask)
		return true
	}
	w.put(uint64(w.dc[t].code.code[size])<<size|low, int(w.dc[t].code.length[size])+size)
	w.writeAC(w.ac[t].code, b, mask)
	return true
}

// countAC counts the symbols of a block but the first.
func countAC(f *frequencies, b *[64]int16, mask uint64) {
	at := 0
	for m := mask &^ 1; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		run := k - at - 1
		for ; run > 15; run -= 16 {
			f[0xf0]++
		}
		v := int(b[k&63])
		f[run<<4|bits.Len16(uint16(max(v, -v)))]++
		at = k
	}
	if at < blockSize-1 {
		f[0]++
	}
}

func (w *scanWriter) writeAC(c *codes, b *[64]int16, mask uint64) {
	at := 0
	for m := mask &^ 1; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m)
		run := k - at - 1
		for ; run > 15; run -= 16 {
			w.put(uint64(c.code[0xf0]), int(c.length[0xf0]))
		}
		size, low := split(int(b[k&63]))
		sym := (run<<4 | size) & 255
		w.put(uint64(c.code[sym])<<size|low, int(c.length[sym])+size)
		at = k
	}
	if at < blockSize-1 {
		w.put(uint64(c.code[0]), int(c.length[0]))
	}
}
