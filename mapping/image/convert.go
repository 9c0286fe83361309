package image

import (
	"bytes"
	"image/color"
	"slices"

	"github.com/dermgate/dermgate/mapping/image/dicom"
	"github.com/dermgate/dermgate/mapping/image/jpeg"
	"github.com/dermgate/dermgate/mapping/issue"
)

// Rows is a photo being decoded, for a JPEG to be made of it.
type Rows struct {
	Width, Height  int
	Samples        int          // a pixel: 1 grey, 3 red, green and blue
	ICC            []byte       // the colour profile, where only the decoder could read it
	Upright        bool         // turned already as the file says
	Blended        bool         // was transparent in places, and lies on white now
	Reduced        bool         // had more than 8 bits a sample
	Captured, Zone string       // as in Facts, where only the decoder could read it
	JPEG           []byte       // instead of rows: the JPEG that the file held
	DICOM          *dicom.Photo // what a DICOM file says of its picture, without the picture; nil of other types
	Next           func(row []byte) error
	Close          func()
	each           func(visit func(row []byte)) error // in place of Next
	colours        *gamut                             // for rows to be turned into sRGB; nil: they stay
}

// Decode opens a photo that is no JPEG, of at most so many pixels. Its errors are those of Fit.
type Decode func(f File, t Type, pixels int64) (*Rows, error)

// What a JPEG cannot hold, in Fitted.Lost.
const (
	lostTransparency = "transparency" // it lies on white
	lostDepth        = "depth"        // 8 bits a sample of more
	lostGamut        = "gamut"        // colours that sRGB cannot show
)

// convert makes a JPEG of a photo of another type: its pixels encoded once, coarser or fewer only if they must be.
func (out *Fitted) convert(f File, lim Limits, to Target, floor Floor) error {
	rows, err := to.Decode(f, out.Original.Type, lim.pixels())
	if err != nil {
		return err
	}
	defer rows.Close()
	if rows.DICOM != nil {
		out.Remarks = rows.DICOM.Remarks()
	}
	if rows.JPEG != nil {
		return out.unwrap(rows, lim, to, floor)
	}
	if out.Original.Type != DICOM {
		if rows.ICC, err = Profile(f); err != nil {
			return err
		}
	}
	if to.SRGB {
		if rows.colours, err = gamutOf(rows.ICC); err != nil {
			return err
		}
	}
	return out.encode(rows, to, floor)
}

// gamutOf is newGamut where there may be no profile.
func gamutOf(icc []byte) (*gamut, error) {
	if len(icc) == 0 {
		return nil, nil
	}
	return newGamut(icc)
}

// recolour turns a JPEG into one of sRGB.
func (out *Fitted) recolour(g *gamut, to Target, floor Floor) error {
	b, err := all(out.File)
	if err != nil {
		return err
	}
	head, err := jpeg.Inspect(b, decodable)
	if err != nil {
		return err
	}
	u := newUnpacker(head)
	if u.kind == asStored || g.grey != (u.kind == grey) {
		return unmixed()
	}
	rows := &Rows{Width: head.Width, Height: head.Height, Samples: len(head.Components), colours: g}
	row := make([]byte, rows.Width*rows.Samples)
	rows.each = func(visit func([]byte)) error {
		return jpeg.Stream(b, decodable)(func(band *jpeg.Band) error {
			for u.add(band); u.next(); visit(row) {
				u.kind.toBytes(u.row, row)
			}
			return nil
		})
	}
	return out.encode(rows, to, floor)
}

// encode makes a JPEG of rows.
func (out *Fitted) encode(rows *Rows, to Target, floor Floor) error {
	if rows.Blended {
		out.Lost = append(out.Lost, lostTransparency)
	}
	if rows.Reduced {
		out.Lost = append(out.Lost, lostDepth)
	}
	many := to.Pixels > 0 && tooMany(rows.Width, rows.Height, to.Pixels)
	exact, err := rows.draw(out.Original)
	if err != nil {
		return err
	}
	if rows.colours != nil && rows.colours.clipped {
		out.Lost = append(out.Lost, lostGamut)
	}
	l, err := newLadder(exact, to, floor, heldMemory)
	if err != nil {
		return err
	}
	var d *rung
	if many {
		d, err = l.resize()
	} else {
		d, err = l.convert()
	}
	if err != nil {
		return err
	}
	out.take(l, d)
	return nil
}

// unwrap takes the JPEG out of a file, and makes it fit.
func (out *Fitted) unwrap(rows *Rows, lim Limits, to Target, floor Floor) error {
	b, err := rows.told(lim)
	if err != nil {
		return err
	}
	inner, err := Fit(bytes.NewReader(b), lim, to, floor)
	if err != nil {
		return err
	}
	removed := append(inner.Removed, out.Original.Private...)
	slices.Sort(removed)
	original, remarks := out.Original, out.Remarks
	*out = *inner
	out.Original, out.Remarks, out.Removed = original, remarks, slices.Compact(removed)
	if out.Step == Untouched || out.Step == WasStripped || out.Step == Optimised {
		out.Step = Converted
	}
	return nil
}

// told gives the JPEG that a file held, with what only the file said: when it was taken, how many pixels there are on a
// length, and the profile.
func (r *Rows) told(lim Limits) ([]byte, error) {
	facts, err := Inspect(bytes.NewReader(r.JPEG), lim)
	if err != nil {
		return nil, err
	}
	if facts.Type != JPEG {
		return nil, issue.New(issue.Structure, "", "a file that holds no JPEG where it says so")
	}
	var add [][]byte
	if block := r.exif(facts).minimal(); facts.Captured == "" && !facts.density.stated() && facts.Orientation == 1 && block != nil {
		add = append(add, appSegment(mAPP1, exifName, block))
	}
	if !facts.ICC {
		add = append(add, profileSegments(r.ICC)...)
	}
	return slices.Concat(r.JPEG[:2], slices.Concat(add...), r.JPEG[2:]), nil
}

// convert writes an exact picture as a photo.
func (l *ladder) convert() (*rung, error) {
	finest := jpeg.NewQuantisers(len(l.head.Components))
	s, err := l.squeeze(finest)
	if err != nil {
		return nil, err
	}
	var out *rung
	if s.bytes(s.trials[0]) <= 0.99*float64(l.to.Bytes) {
		if out, err = s.attempt(finest); err != nil {
			return nil, err
		}
	}
	if out == nil || int64(len(out.bytes)) > l.to.Bytes {
		if out, err = s.requantise(); err != nil {
			return nil, err
		}
	}
	if out == nil {
		s.picture = nil // its memory is needed
		return l.resize()
	}
	out.step = Converted
	return out, nil
}

// draw makes a JPEG of the rows that loses nothing but what 8 bits cannot tell. Colour is kept in full, but of a photo so
// large that its coefficients would be more than are held: there it has half the rows and columns, as photos of phones do.
func (r *Rows) draw(facts Facts) ([]byte, error) {
	head := &jpeg.Header{Adobe: -1, Components: []jpeg.Component{{ID: 1, H: 1, V: 1}}, Segments: r.segments(facts)}
	fold := 1
	if r.Samples == 3 {
		if int64(r.Width)*int64(r.Height)*6 > heldMemory {
			fold = 2
		}
		head.Components[0].H, head.Components[0].V = fold, fold
		head.Components = append(head.Components, jpeg.Component{ID: 2, H: 1, V: 1}, jpeg.Component{ID: 3, H: 1, V: 1})
	}
	c := newCanvas(jpeg.NewSketch(r.Width, r.Height, head), fold)
	each := r.each
	if each == nil {
		each = r.pull
	}
	if err := each(func(row []byte) {
		if r.colours != nil {
			r.colours.row(row)
		}
		c.add(row)
	}); err != nil {
		return nil, err
	}
	return c.finish()
}

// pull takes rows from Next.
func (r *Rows) pull(visit func([]byte)) error {
	row := make([]byte, r.Width*r.Samples)
	for range r.Height {
		if err := r.Next(row); err != nil {
			return err
		}
		visit(row)
	}
	return nil
}

// segments are what a JPEG of the rows carries: JFIF, which way up and when, and the profile (ICC.1 annex B.4).
func (r *Rows) segments(facts Facts) [][]byte {
	out := [][]byte{appSegment(mAPP0, jfifName, []byte{1, 1, 0, 0, 1, 0, 1, 0, 0})}
	if block := r.exif(facts).minimal(); block != nil {
		out = append(out, appSegment(mAPP1, exifName, block))
	}
	if r.colours != nil {
		return out
	}
	return append(out, profileSegments(r.ICC)...)
}

// exif is what is kept of what the file, or its decoder, says.
func (r *Rows) exif(facts Facts) exif {
	x := exif{orientation: facts.Orientation, captured: facts.Captured, zone: facts.Zone, density: facts.density}
	if r.Upright {
		x.orientation = 0
	}
	if x.captured == "" {
		x.captured, x.zone = r.Captured, r.Zone
	}
	if r.DICOM != nil && r.DICOM.Spacing[0] > 0 && r.DICOM.Spacing[1] > 0 {
		perCentimetre := func(mm float64) rational { return rational{1, 1}.times(10 / mm) }
		x.density = density{perCentimetre(r.DICOM.Spacing[1]), perCentimetre(r.DICOM.Spacing[0]), 3}
	}
	return x
}

// profileSegments holds a profile in parts (ICC.1 annex B.4).
func profileSegments(icc []byte) (out [][]byte) {
	const most = 65_533 - iccHeader
	n := (len(icc) + most - 1) / most
	for i := range n {
		part := icc[i*most : min((i+1)*most, len(icc))]
		out = append(out, appSegment(mAPP2, iccName+string([]byte{byte(i + 1), byte(n)}), part))
	}
	return out
}

// canvas fills a picture from the top: samples wait until there are eight rows of them.
type canvas struct {
	to     *jpeg.Sketch
	width  int
	fold   int // pixels across and down of a sample of colour
	planes []eightRows
	luma   []byte
	sums   [2][]int // of colour over fold rows
	rows   int      // that came
	err    error    // the first
}

// eightRows are rows of samples of a component.
type eightRows struct {
	pix    []byte
	stride int
	have   int // rows
}

func newCanvas(to *jpeg.Sketch, fold int) *canvas {
	h := to.Header()
	c := &canvas{to: to, width: h.Width, fold: fold}
	for i := range h.Components {
		stride := 8 * h.Components[i].Across
		c.planes = append(c.planes, eightRows{pix: make([]byte, 8*stride), stride: stride})
	}
	if len(c.planes) == 3 {
		n := (h.Width + fold - 1) / fold
		c.luma, c.sums = make([]byte, h.Width), [2][]int{make([]int, n), make([]int, n)}
	}
	return c
}

// add takes the next row of the photo.
func (c *canvas) add(row []byte) {
	c.rows++
	if len(c.planes) == 1 {
		c.put(0, func(x int) byte { return row[x] }, c.width)
		return
	}
	for x := range c.luma {
		y, cb, cr := color.RGBToYCbCr(row[3*x], row[3*x+1], row[3*x+2])
		c.luma[x] = y
		c.sums[0][x/c.fold] += int(cb)
		c.sums[1][x/c.fold] += int(cr)
	}
	c.put(0, func(x int) byte { return c.luma[x] }, c.width)
	if c.rows%c.fold == 0 {
		c.colour(c.fold)
	}
}

// colour takes the means of some rows.
func (c *canvas) colour(rows int) {
	for i, sums := range c.sums {
		c.put(1+i, func(x int) byte {
			n := rows * (min((x+1)*c.fold, c.width) - x*c.fold)
			return byte((sums[x] + n/2) / n)
		}, len(sums))
		clear(sums)
	}
}

// put adds a row of samples to a component, its last one repeated to the end of the block.
func (c *canvas) put(component int, at func(x int) byte, n int) {
	s := &c.planes[component]
	to := s.pix[s.have*s.stride:][:s.stride]
	for x := range to {
		to[x] = at(min(x, n-1))
	}
	if s.have++; s.have == 8 {
		c.draw(component)
	}
}

func (c *canvas) draw(component int) {
	s := &c.planes[component]
	s.have = 0
	if c.err == nil {
		c.err = c.to.Draw(component, s.pix, s.stride)
	}
}

// finish draws what is left, the last row repeated, and gives the file.
func (c *canvas) finish() ([]byte, error) {
	if rest := c.rows % c.fold; rest > 0 && len(c.planes) == 3 {
		c.colour(rest)
	}
	for i := range c.planes {
		s := &c.planes[i]
		if s.have == 0 {
			continue
		}
		last := bytes.Clone(s.pix[(s.have-1)*s.stride : s.have*s.stride])
		for ; s.have < 8; s.have++ {
			copy(s.pix[s.have*s.stride:], last)
		}
		c.draw(i)
	}
	return c.to.Bytes(), c.err
}
