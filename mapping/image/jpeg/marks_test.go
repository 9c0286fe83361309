package jpeg

import (
	"math/rand/v2"
	"testing"
)

// What the scans are written from is what the coefficients are, also those that no photo has.
func TestMarksAreOfTheCoefficients(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var b [64]int16
		var mask uint64
		for k := range b {
			switch random.IntN(5) {
			case 0, 1:
				b[k] = int16(random.IntN(11) - 5)
			case 2:
				b[k] = int16(random.Uint32())
			case 3:
				b[k] = -1 << 15
			}
			if b[k] != 0 {
				mask |= 1 << k
			}
		}
		m := markBlock(&b, mask)
		for k, v := range b {
			size := max(int(v), -int(v))
			for what, c := range map[string]struct {
				got  uint64
				want bool
			}{
				"at least 1": {m.least[0], size >= 1}, "at least 2": {m.least[1], size >= 2}, "at least 4": {m.least[2], size >= 4},
				"last digit": {m.digit[0], size&1 != 0}, "digit before": {m.digit[1], size&2 != 0}, "minus": {m.minus, v < 0},
			} {
				if c.got>>k&1 != 0 != c.want {
					t.Fatalf("coefficient %d is %d: %s is not %v", k, v, what, c.want)
				}
			}
		}
	}
}

// A coefficient in the middle between two steps goes to the lower one: no further away, and in fewer bits.
func TestRoundingInTheMiddleIsTowardsZero(t *testing.T) {
	for _, c := range []struct{ from, to, coefficient, want int }{
		{1, 2, 1, 0}, {1, 2, -1, 0}, {1, 2, 3, 1}, {1, 2, -3, -1}, {1, 2, 2047, 1023}, {3, 6, 5, 2}, {1, 254, 127, 0}, {5, 254, 127, 2}, // in the middle, or 2.5
		{1, 3, 1, 0}, {1, 3, 2, 1}, {2, 3, 1, 1}, {254, 255, 1023, 1019}, {1, 255, 128, 1}, {1, 255, -128, -1}, {7, 7, -900, -900},
	} {
		h := &Header{Components: []Component{{Quant: new([64]uint16)}}}
		to := Quantisers{new([64]uint16)}
		for k := range blockSize {
			h.Components[0].Quant[k], to[0][k] = uint16(c.from), uint16(c.to)
		}
		in, out := Plane{make([]int16, blockSize), []uint64{1 << 5}}, Plane{make([]int16, blockSize), []uint64{0}}
		in.coefs[5] = int16(c.coefficient)
		out.round(&in, h.factors(to)[0])
		if got := int(out.coefs[5]); got != c.want || out.masks[0] != 0 != (got != 0) {
			t.Errorf("%d in steps of %d is %d in steps of %d, mask %x, not %d", c.coefficient, c.from, got, c.to, out.masks[0], c.want)
		}
	}
}
