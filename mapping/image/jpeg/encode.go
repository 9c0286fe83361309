package jpeg

import (
	"encoding/binary"
	"math/bits"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Encode writes a picture as it is: the same coefficients, with Huffman tables made for them, in the form,
// sequential or progressive, that takes fewer bytes. It fails only when a coefficient is too large for any
// table.
func (p *Picture) Encode() ([]byte, error) {
	sequential, err := newSequential(p.Bands())
	if err != nil {
		return nil, err
	}
	out := p.EncodeProgressive()
	if n := int64(len(out)); sequential.size() > n+n/100 { // within that the estimate may be wrong
		return out, nil
	}
	other, err := sequential.encode()
	if err != nil || len(other) >= len(out) {
		return out, err
	}
	return other, nil
}

// EncodeSequential writes a picture with one scan.
func (p *Picture) EncodeSequential() ([]byte, error) { return EncodeBands(p.Bands()) }

// EncodeBands writes a picture with one scan, reading its bands twice: once to count symbols, once to write.
func EncodeBands(bands Bands) ([]byte, error) {
	s, err := newSequential(bands)
	if err != nil {
		return nil, err
	}
	return s.encode()
}

// segment appends a marker segment.
func segment(out []byte, marker byte, data ...[]byte) []byte {
	n := 2
	for _, d := range data {
		n += len(d)
	}
	out = binary.BigEndian.AppendUint16(append(out, 0xff, marker), uint16(n))
	for _, d := range data {
		out = append(out, d...)
	}
	return out
}

// head appends everything before the first Huffman table.
func (h *Header) head(out []byte, progressive bool) []byte {
	out = append(out, 0xff, mSOI)
	for _, s := range h.Segments {
		out = append(out, s...)
	}
	chosen, out, wide := h.quantisers(out)
	marker := byte(mSOF0)
	switch {
	case progressive:
		marker = mSOF2
	case wide: // baseline has quantisers of 8 bits only (T.81 table B.4)
		marker = mSOF1
	}
	frame := []byte{8, byte(h.Height >> 8), byte(h.Height), byte(h.Width >> 8), byte(h.Width), byte(len(h.Components))}
	for i, c := range h.Components {
		frame = append(frame, c.ID, byte(c.H<<4|c.V), chosen[i])
	}
	return segment(out, marker, frame)
}

// quantisers appends the DQT segments, one for components that have the same.
func (h *Header) quantisers(out []byte) (chosen []byte, _ []byte, wide bool) {
	var written []*[64]uint16
next:
	for _, c := range h.Components {
		for i, q := range written {
			if *q == *c.Quant {
				chosen = append(chosen, byte(i))
				continue next
			}
		}
		id := byte(len(written))
		chosen, written = append(chosen, id), append(written, c.Quant)
		narrow, broad, isWide := []byte{id}, []byte{id | 1<<4}, false
		for _, v := range c.Quant {
			narrow, broad = append(narrow, byte(v)), binary.BigEndian.AppendUint16(broad, v)
			isWide = isWide || v > 255
		}
		if isWide {
			narrow, wide = broad, true
		}
		out = segment(out, mDQT, narrow)
	}
	return chosen, out, wide
}

// table appends a DHT segment; class is 0 for DC, 1 for AC.
func (c *codes) table(out []byte, class, id byte) []byte {
	return segment(out, mDHT, []byte{class<<4 | id}, c.counts[:], c.symbols)
}

// tooLarge says that a coefficient has no code. No picture of 8 bits has one.
func tooLarge() error {
	return issue.New(issue.Structure, "", "a JPEG with coefficients out of range")
}

// coder counts symbols or writes them; in the first case freq is there.
type coder struct {
	bitWriter
	freq *frequencies
	code *codes
}

// symbol counts or writes a symbol and the number behind it.
func (c *coder) symbol(sym int, v uint64, n int) {
	if c.freq != nil {
		c.freq[sym]++
		return
	}
	c.put(uint64(c.code.code[sym])<<n|v, int(c.code.length[sym])+n)
}

// tableOf gives the Huffman table of a component: one for the first and, in CMYK, the last, one for the rest
// (two are all that baseline has).
func (h *Header) tableOf(component int) int {
	if component == 0 || component == 3 || h.RGB() {
		return 0
	}
	return 1
}

// tableCount is how many tables of each class tableOf chooses from.
func (h *Header) tableCount() int {
	if len(h.Components) == 1 || h.RGB() {
		return 1
	}
	return 2
}

// split gives the size of a number in bits and its bits (T.81 §F.1.2.1).
func split(v int) (size int, low uint64) {
	sign := v >> 63
	size = bits.Len(uint((v ^ sign) - sign))
	return size, uint64(v+sign) & (1<<size - 1)
}
