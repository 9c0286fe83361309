package mapping

import (
	"encoding/binary"

	"github.com/dermgate/dermgate/mapping/hl7"
)

// text gives a value as text, "" when it is not valued.
func (r *run) text(v hl7.Value) string {
	if !v.Valued() {
		return ""
	}
	return r.verbatim(v)
}

// verbatim gives a value as text whatever it says: hl7.Value.Text in the run's memory.
func (r *run) verbatim(v hl7.Value) string {
	text, _ := r.shown(v)
	return text
}

// shown is verbatim that tells a clean text, of which none is odd.
func (r *run) shown(v hl7.Value) (text string, clean bool) {
	from, n := v.Offset(), v.Size()
	if n > 0 && r.body != "" {
		if clean = r.even(from, from+n); clean || r.ownText(v.Raw()) {
			return r.body[from : from+n], clean
		}
	}
	r.arena.scratch = v.AppendText(r.arena.scratch[:0])
	return r.arena.keep(r.arena.scratch), false
}

// plain gives the bytes of a value that are its text as they stand: ASCII without an escape. ok is false when
// the value has to be decoded.
func (r *run) plain(v hl7.Value) (raw []byte, ok bool) {
	if !v.Valued() {
		return nil, true
	}
	raw = v.Raw()
	return raw, r.even(v.Offset(), v.Offset()+len(raw)) || r.ownText(raw)
}

// even tells bytes of the message none of which is odd; false says nothing.
func (r *run) even(from, to int) bool {
	if w := uint(from) / 64; w == uint(to-1)/64 && w < uint(len(r.odd)) { // as mostly
		return r.odd[w]>>(uint(from)%64)<<(uint(from-to)%64) == 0
	}
	return r.allEven(uint(from), uint(to))
}

func (r *run) allEven(from, to uint) bool {
	first, last := from/64, (to-1)/64
	if last >= uint(len(r.odd)) || r.odd[first]>>(from%64) != 0 {
		return false
	}
	for first++; first < last; first++ {
		if r.odd[first] != 0 {
			return false
		}
	}
	return r.odd[last]<<(-to%64) == 0
}

// markOdd notes the bytes that are anything but visible ASCII or a space that stands for itself: escapes, quotes,
// backslashes, controls, all beyond ASCII.
func (r *run) markOdd(raw []byte) {
	r.odd = r.odd.fresh(len(raw))
	escape := eachByte * uint64(r.escape)
	i := 0
	for ; i+8 <= len(raw); i += 8 {
		x := binary.LittleEndian.Uint64(raw[i:])
		odd := x | ^((x | highBits) - eachByte*' ') | ^(nonZero(x^escape) & nonZero(x^eachByte*'"') & nonZero(x^eachByte*'\\'))
		if odd &= highBits; odd != 0 {
			r.odd[i/64] |= odd >> 7 * 0x0102040810204080 >> 56 << (i % 64) // one bit a byte
		}
	}
	for ; i < len(raw); i++ {
		if c := raw[i]; c < ' ' || c >= 0x80 || c == r.escape || c == '"' || c == '\\' {
			r.odd[i/64] |= 1 << (i % 64)
		}
	}
}

// nonZero gives the high bit of each byte of seven bits that is not 0.
func nonZero(x uint64) uint64 { return x&lowBits + lowBits }

// In every byte of a word: 1, all bits but the highest, the highest.
const eachByte, lowBits, highBits = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f, 0x8080808080808080

// ownText tells bytes that are their own text: ASCII without an escape, eight bytes at a time.
func (r *run) ownText(raw []byte) bool {
	i, escape := 0, eachByte*uint64(r.escape)
	for ; i+8 <= len(raw); i += 8 {
		x := binary.LittleEndian.Uint64(raw[i:])
		if x&highBits != 0 || ((x^escape)+lowBits)&highBits != highBits { // a byte beyond ASCII, or an escape
			return false
		}
	}
	for _, c := range raw[i:] {
		if c >= 0x80 || c == r.escape {
			return false
		}
	}
	return true
}

// is compares a value's text.
func (r *run) is(v hl7.Value, text string) bool {
	if raw, ok := r.plain(v); ok {
		return string(raw) == text
	}
	return r.text(v) == text
}
