package jpeg

import (
	"math"
	"math/rand"
	"testing"
)

// Codes are within 16 bits, none is of ones only, each is told from the others, and they are as short as can be.
func TestCodesAreGood(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	fibonacci := frequencies{1, 1}
	for i := 2; i < 40; i++ { // would make codes of 39 bits
		fibonacci[i] = fibonacci[i-1] + fibonacci[i-2]
	}
	cases := []frequencies{{}, {5: 3}, {0: 1, 255: 1}, fibonacci}
	for range 50 {
		var f frequencies
		for s := range f {
			if rnd.Intn(3) > 0 {
				f[s] = 1 + int(math.Exp(rnd.Float64()*16))
			}
		}
		cases = append(cases, f)
	}
	for i, f := range cases {
		c := f.codes()
		h, ok := newHuffman(c.counts, c.symbols)
		if !ok {
			t.Fatalf("case %d: not a table", i)
		}
		entropy, total, bits := 0.0, 0, 0
		for s, n := range f {
			if n == 0 {
				continue
			}
			length := int(c.length[s])
			if length < 1 || length > 16 || int(c.code[s]) == 1<<length-1 {
				t.Fatalf("case %d: code %b of %d bits", i, c.code[s], length)
			}
			var w bitWriter
			w.put(uint64(c.code[s]), length)
			w.end()
			if got := h.symbol(&bitReader{b: w.out}); got != s {
				t.Fatalf("case %d: symbol %d is read as %d", i, s, got)
			}
			total += n
			bits += n * length
		}
		for _, n := range f {
			if n > 0 {
				entropy -= float64(n) * math.Log2(float64(n)/float64(total))
			}
		}
		if float64(bits) > entropy+float64(total) {
			t.Errorf("case %d: %d bits for %.0f of information in %d symbols", i, bits, entropy, total)
		}
	}
}

// The transforms are those of the standard, to the precision they are kept in.
func TestTransforms(t *testing.T) {
	rnd := rand.New(rand.NewSource(2))
	var q [64]uint16
	for i := range q {
		q[i] = 1
	}
	for range 200 {
		var in, out [64]byte
		for i := range in {
			in[i] = byte(rnd.Intn(256))
		}
		var got, whole [64]int16
		mask := forward(in[:], 8, &got)
		for k, n := range natural {
			want := exact(&in, int(n%8), int(n/8))
			if d := math.Abs(float64(got[k]) - want); d > 0.7 || mask>>k&1 != 0 != (got[k] != 0) {
				t.Fatalf("coefficient %d is off by %.3f", k, d)
			}
			whole[k] = int16(math.Round(want))
		}
		inverse(&whole, ^uint64(0), &q, out[:], 8)
		for i := range in {
			if d := int(in[i]) - int(out[i]); d < -2 || d > 2 {
				t.Fatalf("sample %d comes back %d for %d", i, out[i], in[i])
			}
		}
	}
}

// exact is the transform by its definition (T.81 §A.3.3).
func exact(in *[64]byte, u, v int) (sum float64) {
	for y := range 8 {
		for x := range 8 {
			sum += (float64(in[8*y+x]) - 128) * math.Cos(float64(2*x+1)*float64(u)*math.Pi/16) * math.Cos(float64(2*y+1)*float64(v)*math.Pi/16)
		}
	}
	for _, n := range []int{u, v} {
		if n == 0 {
			sum /= math.Sqrt2
		}
	}
	return sum / 4
}
