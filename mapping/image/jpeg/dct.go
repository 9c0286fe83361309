package jpeg

import "math/bits"

// The cosine transforms of T.81 §A.3.3 by the scheme of Loeffler, Ligtenberg and Moschytz (ICASSP 1989), with
// 13 bits behind the point. Sums are of 64 bits: what a broken file holds cannot overflow them.

// Rotations, times 1<<13.
const (
	point  = 13
	c0_298 = 2446  // √2 (-cos 1 + cos 3 + cos 5 - cos 7), in sixteenths of π
	c0_390 = 3196  // √2 (cos 3 - cos 5)
	c0_541 = 4433  // √2 cos 6
	c0_765 = 6270  // √2 (cos 2 - cos 6)
	c0_899 = 7373  // √2 (cos 3 - cos 7)
	c1_175 = 9633  // √2 cos 3
	c1_501 = 12299 // √2 (cos 1 + cos 3 - cos 5 - cos 7)
	c1_847 = 15137 // √2 (cos 2 + cos 6)
	c1_961 = 16069 // √2 (cos 3 + cos 5)
	c2_053 = 16819 // √2 (cos 1 + cos 3 - cos 5 + cos 7)
	c2_562 = 20995 // √2 (cos 1 + cos 3)
	c3_072 = 25172 // √2 (cos 1 + cos 3 + cos 5 - cos 7)
)

// natural gives of each coefficient in zigzag order its place in the block (T.81 figure 5).
var natural = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// columns tell of each column which coefficients in zigzag order are in its rows but the first.
var columns = func() (masks [8]uint64) {
	for k, n := range natural {
		if n > 7 {
			masks[n&7] |= 1 << k
		}
	}
	return masks
}()

// guard bits are kept between the two passes of a transform.
const guard = 2

// inverse makes samples, 0 to 255, of the coefficients of a block, and writes them to rows of a stride.
func inverse(b *[64]int16, mask uint64, q *[64]uint16, out []byte, stride int) {
	if mask&^1 == 0 {
		flat(clamp((int(b[0])*int(q[0])+4)>>3+128), out, stride)
		return
	}
	var w [64]int32
	for m := mask; m != 0; m &= m - 1 {
		k := bits.TrailingZeros64(m) & 63
		w[natural[k]&63] = int32(b[k]) * int32(q[k])
	}
	const half = 1 << (point - guard - 1)
	for x := range 8 {
		c := (*[57]int32)(w[x:])
		if mask&columns[x] == 0 {
			v := c[0] << guard
			c[0], c[8], c[16], c[24], c[32], c[40], c[48], c[56] = v, v, v, v, v, v, v, v
			continue
		}
		v0, v1, v2, v3, v4, v5, v6, v7 := back(int(c[0]), int(c[8]), int(c[16]), int(c[24]), int(c[32]), int(c[40]), int(c[48]), int(c[56]))
		c[0], c[8] = int32((v0+half)>>(point-guard)), int32((v1+half)>>(point-guard))
		c[16], c[24] = int32((v2+half)>>(point-guard)), int32((v3+half)>>(point-guard))
		c[32], c[40] = int32((v4+half)>>(point-guard)), int32((v5+half)>>(point-guard))
		c[48], c[56] = int32((v6+half)>>(point-guard)), int32((v7+half)>>(point-guard))
	}
	const shift = point + guard + 3
	const middle = 128<<shift + 1<<(shift-1)
	for y := range 8 {
		r, o := (*[8]int32)(w[8*y:]), (*[8]byte)(out[y*stride:])
		v0, v1, v2, v3, v4, v5, v6, v7 := back(int(r[0]), int(r[1]), int(r[2]), int(r[3]), int(r[4]), int(r[5]), int(r[6]), int(r[7]))
		o[0], o[1] = clamp((v0+middle)>>shift), clamp((v1+middle)>>shift)
		o[2], o[3] = clamp((v2+middle)>>shift), clamp((v3+middle)>>shift)
		o[4], o[5] = clamp((v4+middle)>>shift), clamp((v5+middle)>>shift)
		o[6], o[7] = clamp((v6+middle)>>shift), clamp((v7+middle)>>shift)
	}
}

func flat(v byte, out []byte, stride int) {
	for y := range 8 {
		o := out[y*stride:][:8]
		for x := range o {
			o[x] = v
		}
	}
}

func clamp(v int) byte {
	if uint(v) > 255 {
		return byte(^(v >> 63))
	}
	return byte(v)
}

// back is the inverse transform of eight numbers, times √8 << point.
func back(x0, x1, x2, x3, x4, x5, x6, x7 int) (v0, v1, v2, v3, v4, v5, v6, v7 int) {
	z := (x2 + x6) * c0_541
	e2, e3 := z-x6*c1_847, z+x2*c0_765
	e0, e1 := (x0+x4)<<point, (x0-x4)<<point
	a0, a3, a1, a2 := e0+e3, e0-e3, e1+e2, e1-e2

	z5 := (x7 + x3 + x5 + x1) * c1_175
	z1, z2 := (x7+x1)*-c0_899, (x5+x3)*-c2_562
	z3, z4 := z5-(x7+x3)*c1_961, z5-(x5+x1)*c0_390
	o0 := x7*c0_298 + z1 + z3
	o1 := x5*c2_053 + z2 + z4
	o2 := x3*c3_072 + z2 + z3
	o3 := x1*c1_501 + z1 + z4
	return a0 + o3, a1 + o2, a2 + o1, a3 + o0, a3 - o0, a2 - o1, a1 - o2, a0 - o3
}

// forward makes coefficients in zigzag order, and their mask, of samples.
func forward(in []byte, stride int, out *[64]int16) (mask uint64) {
	var w [64]int
	for y := range 8 {
		r := in[y*stride:][:8]
		v := forth(int(r[0])-128, int(r[1])-128, int(r[2])-128, int(r[3])-128, int(r[4])-128, int(r[5])-128, int(r[6])-128, int(r[7])-128)
		for x := range 8 {
			w[8*y+x] = (v[x] + 1<<(point-guard-1)) >> (point - guard)
		}
	}
	for x := range 8 {
		v := forth(w[x], w[8+x], w[16+x], w[24+x], w[32+x], w[40+x], w[48+x], w[56+x])
		for y := range 8 {
			w[8*y+x] = v[y]
		}
	}
	const shift = point + guard + 3
	for k, n := range natural {
		v := (w[n] + 1<<(shift-1)) >> shift
		out[k] = int16(v)
		mask |= uint64(v|-v) >> 63 << k
	}
	return mask
}

// forth is the transform of eight numbers, times √8 << point.
func forth(x0, x1, x2, x3, x4, x5, x6, x7 int) [8]int {
	s0, s1, s2, s3 := x0+x7, x1+x6, x2+x5, x3+x4
	d0, d1, d2, d3 := x0-x7, x1-x6, x2-x5, x3-x4
	e0, e3, e1, e2 := s0+s3, s0-s3, s1+s2, s1-s2
	z := (e2 + e3) * c0_541

	z5 := (d3 + d1 + d2 + d0) * c1_175
	z1, z2 := (d3+d0)*-c0_899, (d2+d1)*-c2_562
	z3, z4 := z5-(d3+d1)*c1_961, z5-(d2+d0)*c0_390
	return [8]int{
		(e0 + e1) << point, d0*c1_501 + z1 + z4, z + e3*c0_765, d1*c3_072 + z2 + z3,
		(e0 - e1) << point, d2*c2_053 + z2 + z4, z - e2*c1_847, d3*c0_298 + z1 + z3,
	}
}
