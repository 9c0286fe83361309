package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/image"
)

// Takes is what a destination takes of photos. A zero limit is none.
type Takes struct {
	Files  int          // most in one message, photos and documents
	Bytes  int64        // of a photo
	Pixels int64        // of a photo, width times height
	Types  []image.Type // of photos; none: any
	SRGB   bool         // shows all colours as those of sRGB, whatever profile a photo has
	Floor  image.Floor  // what a photo keeps that is made to fit
}

// String names what is taken of one photo: destinations that take the same get the same derivative.
func (t Takes) String() string {
	names := make([]string, len(t.Types))
	for i, typ := range t.Types {
		names[i] = typ.Ext()
	}
	slices.Sort(names)
	out := fmt.Sprintf("%s:%d:%d:%g:%d:%d", strings.Join(names, "+"), t.Bytes, t.Pixels, t.Floor.SSIM, t.Floor.Side, t.Floor.Quality)
	if t.SRGB {
		out += ":srgb"
	}
	return out
}

// words say for a person what is taken of one photo.
func (t Takes) words() string {
	var out []string
	for _, typ := range t.Types {
		out = append(out, typ.String())
	}
	text := strings.Join(out, ", ")
	if text == "" {
		text = "any type"
	}
	if t.Bytes > 0 {
		text += fmt.Sprintf(" of %d bytes", t.Bytes)
	}
	if t.Pixels > 0 {
		text += fmt.Sprintf(" and %d pixels", t.Pixels)
	}
	if t.SRGB {
		text += " in sRGB"
	}
	return text
}

// wraps tells a destination that takes photos as DICOM files and as nothing else.
func (t Takes) wraps() bool {
	return slices.Contains(t.Types, image.DICOM) && !slices.Contains(t.Types, image.JPEG)
}

// fits tells a photo that may travel there as it is. A DICOM file never does: it names its patient and its device.
func (t Takes) fits(ph pathway.Photo) bool {
	if ph.Document {
		return true
	}
	typ := image.TypeNamed(ph.Type)
	switch {
	case ph.Unclean, t.SRGB && ph.Profile, len(t.Types) > 0 && !slices.Contains(t.Types, typ), t.wraps():
		return false
	case t.Bytes > 0 && ph.Size > t.Bytes:
		return false
	}
	return t.Pixels <= 0 || int64(ph.Width)*int64(ph.Height) <= t.Pixels
}

// target is what a photo is made into for it: where photos are wrapped, a JPEG that leaves room for that.
func (t Takes) target() image.Target {
	to := image.Target{Bytes: t.Bytes, Pixels: t.Pixels, Types: t.Types, SRGB: t.SRGB}
	if t.wraps() {
		to.Types = []image.Type{image.JPEG}
		if to.Bytes > 0 {
			to.Bytes = max(1, to.Bytes-wrapping)
		}
	}
	return to
}

// wrapping is how many bytes a DICOM file has around its photo, at most.
const wrapping = 8 << 10
