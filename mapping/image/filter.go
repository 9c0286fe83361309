package image

import "math"

// tap is what one sample of a smaller row is made of: neighbours from a place on, with their weights.
type tap struct {
	from    int
	weights []float32
}

// taps makes those of a row of n samples that becomes one of m, by Lanczos' filter of three lobes. At the ends
// only samples that there are count.
func taps(n, m int) []tap {
	scale := float64(n) / float64(m)
	reach := 3 * max(scale, 1)
	out := make([]tap, m)
	for i := range out {
		centre := (float64(i)+0.5)*scale - 0.5
		from, to := max(0, int(math.Ceil(centre-reach))), min(n-1, int(math.Floor(centre+reach)))
		weights, sum := make([]float64, to-from+1), 0.
		for k := range weights {
			weights[k] = lanczos((float64(from+k) - centre) / max(scale, 1))
			sum += weights[k]
		}
		out[i] = tap{from, make([]float32, len(weights))}
		for k, w := range weights {
			out[i].weights[k] = float32(w / sum)
		}
	}
	return out
}

func lanczos(x float64) float64 {
	switch {
	case x == 0:
		return 1
	case math.Abs(x) >= 3:
		return 0
	}
	return 3 * math.Sin(math.Pi*x) * math.Sin(math.Pi*x/3) / (math.Pi * math.Pi * x * x)
}

// across filters a row.
func across(in, out []float32, taps []tap) {
	for i := range taps {
		t := &taps[i]
		sum := float32(0)
		for k, v := range in[t.from:][:len(t.weights)] {
			sum += v * t.weights[k]
		}
		out[i] = sum
	}
}

// middle gives of each sample of a row of n the two samples of one of m that it lies between, as the place of
// the first in 256ths: chroma is sampled in the middle of the luma samples it is for (T.871 §9).
func middle(n, m int, ratio float64) []int {
	out := make([]int, n)
	for i := range out {
		at := int(math.Round(((float64(i)+0.5)*ratio - 0.5) * 256))
		out[i] = min(max(at, 0), (m-1)*256)
	}
	return out
}
