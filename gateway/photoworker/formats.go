package photoworker

import (
	"bytes"
	stdimage "image"
	"image/gif"
	"image/png"
	"io"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"

	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/image/dicom"
	"github.com/dermgate/dermgate/mapping/issue"
)

// plain are the decoders that give the pixels as stored.
var plain = map[image.Type]struct {
	config func(io.Reader) (stdimage.Config, error)
	decode func(io.Reader) (stdimage.Image, error)
}{
	image.PNG:  {png.DecodeConfig, png.Decode},
	image.GIF:  {gif.DecodeConfig, gif.Decode},
	image.BMP:  {bmp.DecodeConfig, bmp.Decode},
	image.TIFF: {tiff.DecodeConfig, tiff.Decode},
	image.WebP: {webp.DecodeConfig, webp.Decode},
}

func decodePlain(b []byte, t image.Type, most int64) (*decoded, error) {
	c := plain[t]
	if c.decode == nil {
		return nil, issue.New(issue.UnsupportedType, "", t.String()+" is not decoded")
	}
	cfg, err := c.config(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	if err := within(cfg, most); err != nil {
		return nil, err
	}
	im, err := c.decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return rastered(im)
}

func decodeDICOM(b []byte, most int64) (*decoded, error) {
	photo, err := dicom.Read(b, most)
	if err != nil {
		return nil, err
	}
	p := &decoded{Head: Head{Width: photo.Width, Height: photo.Height, Samples: photo.Samples, ICC: photo.ICC, JPEG: photo.JPEG != nil}, jpeg: photo.JPEG}
	pix, n := photo.Pixels, photo.Width*photo.Samples
	p.row = func(y int, dst []byte) { copy(dst, pix[y*n:]) }
	photo.JPEG, photo.Pixels, photo.ICC = nil, nil, nil
	p.Head.DICOM = photo
	return p, nil
}

func within(cfg stdimage.Config, most int64) error {
	switch n := int64(cfg.Width) * int64(cfg.Height); {
	case cfg.Width < 1 || cfg.Height < 1:
		return issue.New(issue.Structure, "", "a photo without width or height")
	case n > most:
		return issue.New(issue.TooLong, "", "more pixels than a photo may have")
	}
	return nil
}
