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

// EncodeProgressive writes a picture in ten or so scans, reading its bands twice: once to count the symbols of all scans,
// once to write them side by side.
func EncodeProgressive(bands Bands) ([]byte, error) {
	w, head, blocks, err := newProgressive(bands)
	if err != nil {
		return nil, err
	}
	if err := w.read(bands); err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, head+int(blocks)), w.header.head(nil, true)...)
	for _, s := range w.scans {
		out = append(append(out, s.tables...), s.out...)
		s.out = nil // its memory is needed
	}
	return append(out, 0xff, mEOI), nil
}

// MeasureProgressive gives how many bytes bands take in the scans of EncodeProgressive: headers and tables, and the
// blocks, but for zeros behind 0xFF.
func MeasureProgressive(bands Bands) (head int, blocks float64, err error) {
	_, head, blocks, err = newProgressive(bands)
	return head, blocks, err
}

// newProgressive counts the symbols of all scans and makes their tables.
func newProgressive(bands Bands) (w *progressive, head int, blocks float64, err error) {
	w = new(progressive)
	if err := w.read(bands); err != nil {
		return nil, 0, 0, err
	}
	head = len(w.header.head(nil, true)) + len("\xff\xd9")
	for _, s := range w.scans {
		blocks += float64(s.counted()) / 8
		head += len(s.tables)
	}
	return w, head, blocks, nil
}

// EncodeProgressive writes a picture in ten or so scans.
func (p *Picture) EncodeProgressive() []byte {
	out, _ := EncodeProgressive(p.Bands()) // a picture that is held has no faults
	return out
}

// progressive is a picture about to be written in scans.
type progressive struct {
	header *Header // of the first band
	scans  []*passWriter
	marks  [][]marks
}

// passWriter counts or writes one scan.
type passWriter struct {
	pass
	coder
	band   func(*passWriter, *Band, [][]marks)
	header *Header
	freqs  [2]frequencies
	codes  [2]*codes
	extra  int64  // bits behind symbols, but for those that the symbol tells
	tables []byte // and the scan's header
	last   [4]int // DC coefficient of the block before, of each component
	run    blockRun
}

// read visits the bands for every scan.
func (w *progressive) read(bands Bands) error {
	err := bands(func(b *Band) error {
		if w.header == nil {
			w.begin(b.Header)
		}
		b.mark(w.marks)
		for _, s := range w.scans {
			s.band(s, b, w.marks)
		}
		return nil
	})
	for _, s := range w.scans {
		s.flushSkipped()
		s.end()
	}
	return err
}

// begin makes the scans, to count first.
func (w *progressive) begin(h *Header) {
	w.header, w.marks = h, make([][]marks, len(h.Components))
	for _, p := range h.script() {
		s := &passWriter{pass: p, header: h}
		s.freq = &s.freqs[0]
		switch {
		case p.from == 0 && p.high == 0:
			s.band = (*passWriter).firstDC
		case p.from == 0:
			s.band = (*passWriter).refineDC
		default:
			s.band = (*passWriter).bandAC
		}
		w.scans = append(w.scans, s)
	}
}

// counted makes the tables of what was counted, and gives how many bits it takes; from now on symbols are written.
func (s *passWriter) counted() int64 {
	n := s.extra
	count := 1
	switch {
	case s.from > 0:
	case s.high > 0:
		count = 0 // its bits have no symbols
	default:
		count = s.header.tableCount()
	}
	for i := range count {
		c := s.freqs[i].codes()
		class := byte(0)
		if s.from > 0 {
			class = 1
		}
		s.codes[i], s.tables = c, c.table(s.tables, class, byte(i))
		n += s.freqs[i].bits(c)
	}
	s.tables = s.scanHeader(s.tables)
	s.code, s.freq, s.last = s.codes[0], nil, [4]int{}
	s.bitWriter = bitWriter{out: make([]byte, 0, n/8+n/8/128+16)}
	return n
}

// scanHeader appends the SOS segment.
func (s *passWriter) scanHeader(out []byte) []byte {
	var header []byte
	for i, c := range s.header.Components {
		switch {
		case s.component < 0 && s.high == 0:
			header = append(header, c.ID, byte(s.header.tableOf(i)<<4))
		case s.component < 0, s.component == i:
			header = append(header, c.ID, 0)
		}
	}
	n := byte(len(header) / 2)
	return segment(out, mSOS, []byte{n}, header, []byte{byte(s.from), byte(s.to), byte(s.high<<4 | s.low)})
}

// firstDC writes the DC coefficients of a band but for their lowest bits: what each adds to the one before, in the order of
// MCUs.
func (s *passWriter) firstDC(b *Band, _ [][]marks) {
	b.everyBlock(func(i int, block *[64]int16) {
		diff := 0
		if block != nil {
			v := int(block[0]) >> s.low
			diff, s.last[i] = v-s.last[i], v
		}
		t := s.header.tableOf(i)
		size, low := split(diff)
		if s.freq != nil {
			s.freqs[t][size]++
			return
		}
		s.put(uint64(s.codes[t].code[size])<<size|low, int(s.codes[t].length[size])+size)
	})
}

// refineDC writes one more bit of the DC coefficients of a band.
func (s *passWriter) refineDC(b *Band, _ [][]marks) {
	b.everyBlock(func(_ int, block *[64]int16) {
		if s.freq != nil {
			s.extra++
			return
		}
		bit := uint64(0)
		if block != nil {
			bit = uint64(block[0]>>s.low) & 1
		}
		s.put(bit, 1)
	})
}

// everyBlock visits the blocks of all components in the order of MCUs, nil for those that only fill them up.
func (b *Band) everyBlock(visit func(component int, block *[64]int16)) {
	for x := range b.mcusAcross() {
		for i := range b.Components {
			c, plane, rows := &b.Components[i], &b.Planes[i], b.rows(i)
			for v := range c.V {
				for h := range c.H {
					if v >= rows || x*c.H+h >= c.Across {
						visit(i, nil)
						continue
					}
					visit(i, (*[64]int16)(plane.coefs[blockSize*(v*c.stride+x*c.H+h):]))
				}
			}
		}
	}
}
