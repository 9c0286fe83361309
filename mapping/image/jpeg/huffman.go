package jpeg

// lookBits is how many bits of a code are looked up at once.
const lookBits = 10

// huffman decodes the symbols of one table (T.81 Annex C, §F.2.2.3).
type huffman struct {
	// look tells what begins with the next lookBits bits: the length of the code in its lowest 5 bits, 0 for
	// a longer one; the symbol in bits 8 to 15; and when the number that follows the code (symbol & 15 bits)
	// is among those bits too, valued and that number in the upper 16.
	look    [1 << lookBits]uint32
	limit   [18]uint32 // of each length: the first code, filled up to 16 bits, that is longer
	offset  [17]int32  // of each length: what to add to a code for its place in symbols
	symbols []byte
}

const valued = 1 << 7

// newHuffman makes a table of the numbers of codes of each length, 1 to 16, and their symbols.
func newHuffman(counts [16]byte, symbols []byte) (*huffman, bool) {
	h := &huffman{symbols: symbols}
	code, k := uint32(0), int32(0)
	for i, n := range counts {
		length := i + 1
		h.offset[length] = k - int32(code)
		if code+uint32(n) > 1<<length {
			return nil, false // more codes than there are
		}
		for range n {
			if length <= lookBits {
				h.enter(code, length, symbols[k])
			}
			code++
			k++
		}
		h.limit[length] = code << (16 - length)
		code <<= 1
	}
	h.limit[17] = 1 << 16
	return h, true
}

// enter notes a short code for all bits that may follow it.
func (h *huffman) enter(code uint32, length int, symbol byte) {
	free := lookBits - length
	size := int(symbol & 15)
	for rest := range uint32(1) << free {
		e := uint32(length) | uint32(symbol)<<8
		if size > 0 && size <= free {
			v := int32(rest >> (free - size))
			if v < 1<<size>>1 {
				v += 1 - 1<<size
			}
			e |= valued | uint32(v)<<16
		}
		h.look[code<<free|rest] = e
	}
}

// symbol takes the next symbol; -1 when no code begins so.
func (h *huffman) symbol(r *bitReader) int {
	if r.n < 16 {
		r.fill()
	}
	if e := h.look[r.acc>>(64-lookBits)]; e != 0 {
		r.skip(int(e & 31))
		return int(e >> 8 & 255)
	}
	return h.long(r)
}

// long takes a symbol code bit by code bit.
func (h *huffman) long(r *bitReader) int {
	code := uint32(r.acc >> 48)
	for length := 1; length <= 16; length++ {
		if code < h.limit[length] {
			i := int(int32(code>>(16-length)) + h.offset[length])
			if i < 0 || i >= len(h.symbols) {
				return -1
			}
			r.skip(length)
			return int(h.symbols[i])
		}
	}
	return -1
}
