package image

import "github.com/dermgate/dermgate/mapping/image/jpeg"

// resampler makes a picture of another size of the bands of one. Rows come in from the top, are filtered
// across, wait until all that a new row is made of are there, and are drawn when a row of MCUs is full.
type resampler struct {
	unpacker
	to       *jpeg.Header
	out      *jpeg.Picture
	fresh    [][]float32   // of each channel, a new row
	wait     [][][]float32 // filtered rows of each channel, by number modulo their count
	acrossBy []tap
	downBy   []tap
	drawn    int      // new rows
	strip    [][]byte // of each component, rows of the MCUs that are being filled
	stride   int
}

// unpacker makes rows of samples, as many of each component as there are pixels, of the bands of a picture.
type unpacker struct {
	from    *jpeg.Header
	kind    colours
	planes  []store     // samples of each component that are still needed
	upright [][]int     // of each component, of each row of the picture: its place in 256ths of rows
	level   [][]int     // the same of columns
	row     [][]float32 // of each component
	done    int         // rows that were made
	samples jpeg.Samples
}

func newUnpacker(head *jpeg.Header) unpacker {
	u := unpacker{from: head, planes: make([]store, len(head.Components))}
	switch n := len(head.Components); {
	case n == 1:
		u.kind = grey
	case n == 3 && head.RGB():
		u.kind = redGreenBlue
	case n == 3:
		u.kind = lumaChroma
	}
	for i := range head.Components {
		w, h := head.PlaneSize(i)
		byW, byH := subsampling(head, i)
		u.level, u.upright = append(u.level, middle(head.Width, w, byW)), append(u.upright, middle(head.Height, h, byH))
		u.row = append(u.row, make([]float32, head.Width))
	}
	return u
}

// add takes the next band.
func (u *unpacker) add(b *jpeg.Band) {
	for i := range u.planes {
		b.Samples(i, &u.samples)
		for y := range u.samples.Height {
			u.planes[i].add(u.samples.Pix[y*u.samples.Stride:][:u.samples.Width])
		}
	}
}

// next makes the next row, false when the bands that came are not enough for it.
func (u *unpacker) next() bool {
	if u.done == u.from.Height {
		return false
	}
	for i := range u.planes {
		_, h := u.from.PlaneSize(i)
		if need := min(u.upright[i][u.done]>>8+1, h-1); u.planes[i].end() <= need {
			return false
		}
	}
	for i := range u.planes {
		u.unpack(i)
		u.planes[i].drop(u.upright[i][u.done] >> 8)
	}
	u.done++
	return true
}

// store holds rows of samples, the first of which has a number.
type store struct {
	rows  [][]byte
	first int
	spare [][]byte
}

func (s *store) add(row []byte) {
	var to []byte
	if n := len(s.spare); n > 0 {
		to, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	s.rows = append(s.rows, append(to[:0], row...))
}

// end is the number of the row that comes next.
func (s *store) end() int { return s.first + len(s.rows) }

// drop forgets the rows before one.
func (s *store) drop(before int) {
	for s.first < before && len(s.rows) > 0 {
		s.spare = append(s.spare, s.rows[0])
		s.rows = s.rows[1:]
		s.first++
	}
}

// resample makes a picture of another size. head is that of the bands.
func resample(bands jpeg.Bands, head *jpeg.Header, width, height int) (*jpeg.Picture, error) {
	r := newResampler(head, width, height)
	err := bands(func(b *jpeg.Band) error {
		r.add(b)
		r.advance()
		return nil
	})
	return r.out, err
}

func newResampler(head *jpeg.Header, width, height int) *resampler {
	like := *head
	like.Components = sampling(head)
	r := &resampler{unpacker: newUnpacker(head), out: jpeg.NewPicture(width, height, &like), acrossBy: taps(head.Width, width), downBy: taps(head.Height, height)}
	r.to = &r.out.Header
	wide, high := r.to.MCU()
	r.stride = (width + wide - 1) / wide * wide
	for range head.Components {
		r.fresh = append(r.fresh, make([]float32, width))
		r.wait = append(r.wait, ring(r.downBy, width))
		r.strip = append(r.strip, make([]byte, r.stride*high))
	}
	return r
}

// ring makes as many rows as one new row is made of.
func ring(by []tap, width int) [][]float32 {
	most := 0
	for _, t := range by {
		most = max(most, len(t.weights))
	}
	rows := make([][]float32, most)
	for k := range rows {
		rows[k] = make([]float32, width)
	}
	return rows
}

// subsampling gives how many samples of a component there are for one of the picture, each way.
func subsampling(head *jpeg.Header, i int) (wide, high float64) {
	w, h := head.MCU()
	c := head.Components[i]
	return float64(8*c.H) / float64(w), float64(8*c.V) / float64(h)
}

// sampling gives the components of the new picture: chroma subsampled by two where that of the old one was.
func sampling(head *jpeg.Header) []jpeg.Component {
	out := append([]jpeg.Component(nil), head.Components...)
	h, v := 1, 1
	if len(out) == 3 && !head.RGB() {
		wide, high := subsampling(head, 1)
		if wide < 1 {
			h = 2
		}
		if high < 1 {
			v = 2
		}
	}
	for i := range out {
		out[i].H, out[i].V = 1, 1
	}
	out[0].H, out[0].V = h, v
	return out
}

// advance filters all rows that can be.
func (r *resampler) advance() {
	for r.next() {
		r.kind.toLight(r.row)
		for i, row := range r.row {
			across(row, r.wait[i][(r.done-1)%len(r.wait[i])], r.acrossBy)
		}
		for r.drawn < len(r.downBy) && r.downBy[r.drawn].from+len(r.downBy[r.drawn].weights) <= r.done {
			r.down()
		}
	}
}

// unpack makes a row of one component as wide as the picture.
func (u *unpacker) unpack(i int) {
	at, s, row := u.upright[i][u.done], &u.planes[i], u.row[i]
	a := s.rows[at>>8-s.first]
	b := s.rows[min(at>>8+1-s.first, len(s.rows)-1)]
	w := float32(at&255) / 256
	level := u.level[i]
	if len(a) == len(row) && w == 0 {
		for x, v := range a {
			row[x] = float32(v)
		}
		return
	}
	for x := range row {
		k, u := level[x]>>8, float32(level[x]&255)/256
		n := min(k+1, len(a)-1)
		top := float32(a[k]) + (float32(a[n])-float32(a[k]))*u
		bottom := float32(b[k]) + (float32(b[n])-float32(b[k]))*u
		row[x] = top + (bottom-top)*w
	}
}

// down makes one new row of those that wait, and draws when a row of MCUs is full.
func (r *resampler) down() {
	t := &r.downBy[r.drawn]
	for i, fresh := range r.fresh {
		clear(fresh)
		for k, w := range t.weights {
			for x, v := range r.wait[i][(t.from+k)%len(r.wait[i])] {
				fresh[x] += w * v
			}
		}
	}
	r.kind.toCodes(r.fresh)
	_, high := r.to.MCU()
	for i, fresh := range r.fresh {
		line := r.strip[i][r.drawn%high*r.stride:][:r.stride]
		for x, v := range fresh {
			line[x] = byte(min(max(v, 0), 255) + 0.5)
		}
		extend(line, len(fresh))
	}
	if r.drawn++; r.drawn%high == 0 || r.drawn == r.to.Height {
		r.draw()
	}
}

// extend repeats the last sample of a row to its end.
func extend(line []byte, n int) {
	for x := n; x < len(line); x++ {
		line[x] = line[n-1]
	}
}

// draw draws the rows of the strip. Those that the last row of MCUs lacks repeat the last one.
func (r *resampler) draw() {
	_, high := r.to.MCU()
	full := (r.drawn-1)%high + 1
	for i, c := range r.to.Components {
		pix := r.strip[i]
		for y := full; y < high; y++ {
			copy(pix[y*r.stride:][:r.stride], pix[(full-1)*r.stride:])
		}
		r.halve(i)
		for v := range c.V {
			if row := (r.drawn-1)/high*c.V + v; row < c.Down {
				r.out.Draw(i, row, pix[8*v*r.stride:], r.stride)
			}
		}
	}
}

// halve averages the samples that a sample of a subsampled component is for.
func (r *resampler) halve(i int) {
	wide, high := r.to.MCU()
	h, v := wide/8/r.to.Components[i].H, high/8/r.to.Components[i].V
	if h*v == 1 {
		return
	}
	pix := r.strip[i]
	for y := range high / v {
		for x := range r.stride / h {
			sum := h * v / 2
			for dy := range v {
				for dx := range h {
					sum += int(pix[(y*v+dy)*r.stride+x*h+dx])
				}
			}
			pix[y*r.stride+x] = byte(sum / (h * v)) // behind where it is read from, or at its first
		}
	}
}
