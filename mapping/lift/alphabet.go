package lift

import "encoding/binary"

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// bad is in what values says of a byte that is no letter of base64.
const bad = 0xff000000

// values gives what a letter adds to the 24 bits of its group, by its place in the group.
var values = func() (t [4][256]uint32) {
	for place := range t {
		for c := range t[place] {
			t[place][c] = bad
		}
		for v, c := range []byte(alphabet) {
			t[place][c] = uint32(v) << (18 - 6*place)
		}
	}
	return t
}()

func letter(c byte) bool { return values[0][c] != bad }

// space tells what mapping leaves out of encoded data.
func space(c byte) bool { return c == ' ' || c == '\r' || c == '\n' || c == '\t' }

// decodeGroups decodes groups of four letters, as many as src begins with and dst has room for, and gives the
// bytes read and written. It is half as fast again as encoding/base64 and stops where that one passes over
// line ends; dst may be written to beyond what it gives.
func decodeGroups(dst, src []byte) (read, written int) {
	for len(src)-read >= 8 && len(dst)-written >= 8 {
		s := src[read : read+8 : read+8]
		a := values[0][s[0]] | values[1][s[1]] | values[2][s[2]] | values[3][s[3]]
		b := values[0][s[4]] | values[1][s[5]] | values[2][s[6]] | values[3][s[7]]
		if (a|b)&bad != 0 {
			break
		}
		binary.BigEndian.PutUint64(dst[written:], uint64(a)<<40|uint64(b)<<16)
		read, written = read+8, written+6
	}
	for len(src)-read >= 4 && len(dst)-written >= 3 {
		s := src[read : read+4 : read+4]
		a := values[0][s[0]] | values[1][s[1]] | values[2][s[2]] | values[3][s[3]]
		if a&bad != 0 {
			break
		}
		dst[written], dst[written+1], dst[written+2] = byte(a>>16), byte(a>>8), byte(a)
		read, written = read+4, written+3
	}
	return read, written
}
