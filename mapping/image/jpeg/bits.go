package jpeg

import "encoding/binary"

// bitReader reads entropy-coded data, whose zeros behind 0xFF it drops (T.81 §F.1.2.3). It stops before a
// marker and gives zeros from there on.
type bitReader struct {
	b   []byte
	pos int    // of the next byte
	acc uint64 // the next bits, the first one on top
	n   int    // bits in acc
	pad int    // bits in acc that did not come from the data; they are its last ones
}

// fill makes at least 56 bits ready.
func (r *bitReader) fill() {
	if r.pos+8 <= len(r.b) && r.pad == 0 {
		w := binary.BigEndian.Uint64(r.b[r.pos:])
		if v := ^w; (v-0x0101010101010101)&^v&0x8080808080808080 == 0 { // no 0xFF among them
			r.acc |= w >> r.n // bits behind the 64th come again with the next fill, the same
			r.pos += (63 - r.n) >> 3
			r.n |= 56
			return
		}
	}
	r.fillSlowly()
}

func (r *bitReader) fillSlowly() {
	for r.n <= 56 {
		c, size := byte(0), 0
		switch {
		case r.pos >= len(r.b):
		case r.b[r.pos] != 0xff:
			c, size = r.b[r.pos], 1
		case r.pos+1 < len(r.b) && r.b[r.pos+1] == 0:
			c, size = 0xff, 2
		}
		if size == 0 {
			r.pad += 8
		}
		r.pos += size
		r.acc |= uint64(c) << (56 - r.n)
		r.n += 8
	}
}

// overrun tells that bits were taken that were not in the data.
func (r *bitReader) overrun() bool { return r.pad > r.n }

// skip drops bits that were looked at.
func (r *bitReader) skip(n int) {
	r.acc <<= n
	r.n -= n
}

// bits takes up to 16 bits.
func (r *bitReader) bits(n int) int {
	if r.n < n {
		r.fill()
	}
	v := int(r.acc >> 1 >> (63 - n))
	r.skip(n)
	return v
}

// bit takes one.
func (r *bitReader) bit() bool {
	if r.n < 1 {
		r.fill()
	}
	v := r.acc>>63 != 0
	r.skip(1)
	return v
}

// value takes a number of a size in bits (T.81 table F.1).
func (r *bitReader) value(size int) int {
	v := r.bits(size)
	if v < 1<<size>>1 {
		v += 1 - 1<<size
	}
	return v
}

// reset forgets what was read ahead, at a marker.
func (r *bitReader) reset() { r.acc, r.n, r.pad = 0, 0, 0 }

// toMarker gives the place of the next marker from where reading stands: a 0xFF with neither a zero nor
// another 0xFF behind it.
func (r *bitReader) toMarker() int {
	for i := r.pos; i+1 < len(r.b); i++ {
		if r.b[i] == 0xff && r.b[i+1] != 0 && r.b[i+1] != 0xff {
			return i
		}
	}
	return len(r.b)
}

// bitWriter writes entropy-coded data behind what is already written.
type bitWriter struct {
	out []byte
	acc uint64 // the bits not written yet, the last one at the bottom
	n   int
}

// put adds up to 32 bits.
func (w *bitWriter) put(v uint64, n int) {
	if w.n+n > 64 {
		w.flush()
	}
	w.acc = w.acc<<(n&63) | v
	w.n += n
}

// flush writes the whole bytes: at least 32 bits are free afterwards.
func (w *bitWriter) flush() {
	if w.n >= 32 {
		v := uint32(w.acc >> ((w.n - 32) & 63))
		w.n -= 32
		if u := ^v; (u-0x01010101)&^u&0x80808080 == 0 {
			w.out = binary.BigEndian.AppendUint32(w.out, v)
			return
		}
		for i := 24; i >= 0; i -= 8 {
			w.byte(byte(v >> i))
		}
	}
}

func (w *bitWriter) byte(c byte) {
	w.out = append(w.out, c)
	if c == 0xff {
		w.out = append(w.out, 0)
	}
}

// end fills the last byte up with ones.
func (w *bitWriter) end() {
	w.flush()
	w.flush()
	if pad := -w.n & 7; pad > 0 {
		w.acc, w.n = w.acc<<pad|(1<<pad-1), w.n+pad
	}
	for ; w.n > 0; w.n -= 8 {
		w.byte(byte(w.acc >> (w.n - 8)))
	}
	w.acc = 0
}
