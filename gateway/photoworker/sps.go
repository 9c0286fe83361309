package photoworker

import (
	"bytes"
	"encoding/binary"

	"github.com/dermgate/dermgate/mapping/image"
)

// codingOf tells how the colours of a HEIC are coded: by its colr box of kind nclx, else by what its video stream says
// (ITU-T H.265 §E.2), whose silence means the narrow range.
func codingOf(b []byte) nclx {
	out := nclx{2, true}
	for _, p := range image.Properties(bytes.NewReader(b), "colr", "hvcC") {
		switch {
		case p.Kind == "colr" && len(p.Data) >= 11 && string(p.Data[:4]) == "nclx":
			return nclx{matrix: int(binary.BigEndian.Uint16(p.Data[8:])), narrow: p.Data[10]&0x80 == 0}
		case p.Kind == "hvcC":
			if n, ok := codingOfStream(p.Data); ok {
				out = n
			}
		}
	}
	return out
}

// codingOfStream reads the first sequence parameter set of an hvcC box (ISO 14496-15 §8.3.3.1).
func codingOfStream(b []byte) (nclx, bool) {
	if len(b) < 23 {
		return nclx{}, false
	}
	arrays := int(b[22])
	for b = b[23:]; arrays > 0 && len(b) >= 3; arrays-- {
		kind, count := b[0]&0x3f, int(binary.BigEndian.Uint16(b[1:]))
		for b = b[3:]; count > 0; count-- {
			if len(b) < 2 {
				return nclx{}, false
			}
			n := int(binary.BigEndian.Uint16(b))
			if n > len(b)-2 {
				return nclx{}, false
			}
			if kind == 33 && n > 2 {
				return readSPS(b[4 : 2+n])
			}
			b = b[2+n:]
		}
	}
	return nclx{}, false
}

// bitReader reads bits from the highest on. Behind the end, and after a number that no stream has, it gives zeros and is bad.
type bitReader struct {
	b   []byte
	at  int
	bad bool
}

func (r *bitReader) bits(n int) (v int) {
	for ; n > 0; n-- {
		if r.at>>3 >= len(r.b) {
			r.bad = true
			return 0
		}
		v = v<<1 | int(r.b[r.at>>3]>>(7-r.at&7))&1
		r.at++
	}
	return v
}

func (r *bitReader) flag() bool { return r.bits(1) == 1 }

func (r *bitReader) skip(n int) {
	r.at += n
	r.bad = r.bad || r.at > 8*len(r.b)
}

// ue reads an Exp-Golomb number (§9.2).
func (r *bitReader) ue() int {
	zeros := 0
	for !r.flag() {
		if zeros++; r.bad || zeros > 24 {
			r.bad = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.bits(zeros)
}

func (r *bitReader) skipUE(n int) {
	for range n {
		r.ue()
	}
}

// readSPS reads a sequence parameter set as far as the video signal (§7.3.2.2, §E.2.1); false when that cannot be reached.
func readSPS(b []byte) (nclx, bool) {
	r := &bitReader{b: unescaped(b)}
	r.skip(4)
	layers := r.bits(3)
	r.skip(1)
	r.profile(layers)
	r.ue()
	if r.ue() == 3 {
		r.skip(1)
	}
	r.skipUE(2)
	if r.flag() {
		r.skipUE(4)
	}
	r.skipUE(2)
	order := r.ue() + 4
	sets := 1
	if r.flag() {
		sets = layers + 1
	}
	r.skipUE(3*sets + 6)
	if r.flag() { // scaling lists are in use, and perhaps given here
		if r.flag() {
			r.scaling()
		}
	}
	r.skip(2)
	if r.flag() {
		r.skip(8)
		r.skipUE(2)
		r.skip(1)
	}
	if r.ue() > 0 { // pictures that refer to others: no still
		return nclx{}, false
	}
	if r.flag() {
		for n := r.ue(); n > 0 && !r.bad; n-- {
			r.skip(order + 1)
		}
	}
	r.skip(2)
	n := nclx{2, true}
	if r.flag() {
		n = r.signal()
	}
	return n, !r.bad
}

// profile passes over profile_tier_level (§7.3.3).
func (r *bitReader) profile(layers int) {
	r.skip(96)
	var profiles, levels [8]bool
	for i := range layers {
		profiles[i], levels[i] = r.flag(), r.flag()
	}
	if layers > 0 {
		r.skip(2 * (8 - layers))
	}
	for i := range layers {
		if profiles[i] {
			r.skip(88)
		}
		if levels[i] {
			r.skip(8)
		}
	}
}

// scaling passes over scaling_list_data (§7.3.4).
func (r *bitReader) scaling() {
	for size := range 4 {
		step := 1
		if size == 3 {
			step = 3
		}
		for matrix := 0; matrix < 6; matrix += step {
			switch {
			case !r.flag():
				r.ue()
			case size > 1:
				r.skipUE(1 + 64)
			default:
				r.skipUE(min(64, 16<<(2*size)))
			}
		}
	}
}

// signal reads the beginning of vui_parameters.
func (r *bitReader) signal() nclx {
	n := nclx{2, true}
	if r.flag() && r.bits(8) == 255 {
		r.skip(32)
	}
	if r.flag() {
		r.skip(1)
	}
	if r.flag() {
		r.skip(3)
		n.narrow = !r.flag()
		if r.flag() {
			r.skip(16)
			n.matrix = r.bits(8)
		}
	}
	return n
}

// unescaped takes out the bytes that keep a start code from appearing (§7.3.1.1).
func unescaped(b []byte) (out []byte) {
	zeros := 0
	for _, c := range b {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
		out = append(out, c)
	}
	return out
}
