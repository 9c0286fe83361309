package jpeg

// frequencies counts the symbols of one table.
type frequencies [256]int

// codes are the codes of a table to be written.
type codes struct {
	counts  [16]byte // of each length, 1 to 16
	symbols []byte
	code    [256]uint16
	length  [256]uint8
}

// longest is the length that codes may have.
const longest = 16

// codes makes the shortest codes for the symbols counted, none longer than 16 bits and none of ones only.
func (f *frequencies) codes() *codes {
	c := new(codes)
	var perLength [longest + 1]int
	sorted := f.sorted()
	if len(sorted) == 0 {
		sorted = []byte{0} // a table must not be empty
	}
	for i, n := range f.lengths(sorted) {
		perLength[n]++
		c.length[sorted[i]] = uint8(n)
	}
	code := uint16(0)
	for n := 1; n <= longest; n++ {
		c.counts[n-1] = byte(perLength[n])
		code <<= 1
		for s := range 256 {
			if int(c.length[s]) == n {
				c.symbols = append(c.symbols, byte(s))
				c.code[s] = code
				code++
			}
		}
	}
	return c
}

// sorted gives the symbols that occur, the rarest first.
func (f *frequencies) sorted() (out []byte) {
	for s, n := range f {
		if n > 0 {
			out = append(out, byte(s))
		}
	}
	for i := 1; i < len(out); i++ { // at most 256, mostly in order
		for k := i; k > 0 && f[out[k]] < f[out[k-1]]; k-- {
			out[k], out[k-1] = out[k-1], out[k]
		}
	}
	return out
}

// lengths gives the lengths of the best codes of up to 16 bits for symbols sorted by frequency, by the
// package-merge method (Larmore and Hirschberg 1990). One more symbol of frequency 0 takes part: it gets the
// code of ones only, which must stay free (T.81 §C.2).
func (f *frequencies) lengths(sorted []byte) []int {
	weights := make([]int, 0, len(sorted)+1)
	weights = append(weights, 0)
	for _, s := range sorted {
		weights = append(weights, f[s])
	}
	out := make([]int, len(weights))
	previous := make([]bundle, 0, 2*len(weights))
	for range longest {
		merged := make([]bundle, 0, 2*len(weights))
		packages := len(previous) / 2
		for i, p := 0, 0; i < len(weights) || p < packages; {
			if p == packages || i < len(weights) && weights[i] <= previous[2*p].weight+previous[2*p+1].weight {
				merged = append(merged, bundle{weight: weights[i], leaf: i})
				i++
				continue
			}
			a, b := &previous[2*p], &previous[2*p+1]
			merged = append(merged, bundle{a.weight + b.weight, -1, a, b})
			p++
		}
		previous = merged
	}
	for i := range 2*len(weights) - 2 {
		previous[i].visit(out)
	}
	return out[1:]
}

// bundle is a symbol, or two bundles.
type bundle struct {
	weight int
	leaf   int
	a, b   *bundle
}

// visit counts in how many bundles each symbol is.
func (b *bundle) visit(count []int) {
	if b.leaf >= 0 {
		count[b.leaf]++
		return
	}
	b.a.visit(count)
	b.b.visit(count)
}

// bits gives how many bits the counted symbols and the numbers behind them take.
func (f *frequencies) bits(c *codes) (n int64) {
	for s, times := range f {
		n += int64(times) * int64(int(c.length[s])+s&15)
	}
	return n
}
