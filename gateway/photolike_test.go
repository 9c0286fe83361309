package main

import (
	stdimage "image"
	"math"
)

// plane holds the luma of a picture, 0 to 255.
type plane struct {
	v     []float64
	width int
}

// lumaOf lays what is transparent on white.
func lumaOf(im stdimage.Image) plane {
	r := im.Bounds()
	p := plane{make([]float64, 0, r.Dx()*r.Dy()), r.Dx()}
	if ycc, ok := im.(*stdimage.YCbCr); ok {
		for y := r.Min.Y; y < r.Max.Y; y++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				p.v = append(p.v, float64(ycc.Y[ycc.YOffset(x, y)]))
			}
		}
		return p
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			red, green, blue, alpha := im.At(x, y).RGBA()
			p.v = append(p.v, (0.299*float64(red)+0.587*float64(green)+0.114*float64(blue)+float64(0xffff-alpha))/257)
		}
	}
	return p
}

// like gives PSNR in dB and SSIM over all windows of 8 by 8 that stand 4 apart (Wang and others 2004), written apart from
// mapping/image so that one checks the other.
func (p plane) like(q plane) (psnr, ssim float64) {
	squares := 0.
	for i, v := range p.v {
		squares += (v - q.v[i]) * (v - q.v[i])
	}
	sum, n := 0., 0
	for y := 0; y+8 <= len(p.v)/p.width; y += 4 {
		for x := 0; x+8 <= p.width; x += 4 {
			sum += p.window(q, y*p.width+x)
			n++
		}
	}
	ssim = 1
	if n > 0 {
		ssim = sum / float64(n)
	}
	return 10 * math.Log10(255*255*float64(len(p.v))/squares), ssim
}

func (p plane) window(q plane, at int) float64 {
	var a, b, aa, bb, ab float64
	for y := range 8 {
		for x := range 8 {
			v, w := p.v[at+y*p.width+x], q.v[at+y*p.width+x]
			a, b, aa, bb, ab = a+v/64, b+w/64, aa+v*v/64, bb+w*w/64, ab+v*w/64
		}
	}
	const c1, c2 = 6.5025, 58.5225
	return (2*a*b + c1) * (2*(ab-a*b) + c2) / ((a*a + b*b + c1) * (aa - a*a + bb - b*b + c2))
}
