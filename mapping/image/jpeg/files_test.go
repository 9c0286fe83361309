package jpeg

import (
	"bytes"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
)

// unread are the test files that are no picture to this package, with what the refusal must say.
var unread = map[string]string{
	"arithmetic.jpg": "arithmetic-coded",
	"testimgari.jpg": "arithmetic-coded",
}

// files gives all JPEGs of the tests that can be read, by name.
func files(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, folder := range []string{"testdata", "../testdata", "../../../fixtures/photos"} {
		names, err := filepath.Glob(filepath.Join(folder, "*.jpg"))
		if err != nil || len(names) == 0 {
			t.Fatal("no files in ", folder, err)
		}
		for _, name := range names {
			if unread[filepath.Base(name)] == "" {
				out[filepath.Base(name)] = file(t, name)
			}
		}
	}
	// A picture of YCCK is one of CMYK with another word in its Adobe segment.
	ycck := bytes.Clone(out["cmyk.jpg"])
	at := bytes.Index(ycck, []byte("Adobe\x00\x64"))
	if at < 0 {
		t.Fatal("cmyk.jpg has no Adobe segment")
	}
	ycck[at+11] = 2
	out["ycck"] = ycck
	out["large"] = photos.Lesion{Seed: 7, View: photos.CloseUp, Width: 1203, Height: 901, Quality: 97}.JPEG()
	return out
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t testing.TB, b []byte) *Picture {
	t.Helper()
	p, err := Decode(b, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// differs tells where two pictures have other coefficients; "" nowhere.
func differs(a, b *Picture) string {
	if a.Width != b.Width || a.Height != b.Height || len(a.Components) != len(b.Components) || a.Adobe != b.Adobe {
		return "other headers"
	}
	for i := range a.Components {
		c, d := a.Components[i], b.Components[i]
		if c.ID != d.ID || c.H != d.H || c.V != d.V || *c.Quant != *d.Quant {
			return "other components"
		}
		for y := range c.Down {
			for x := range c.Across {
				if [64]int16(a.Coefficients(i, x, y)) != [64]int16(b.Coefficients(i, x, y)) {
					return "other coefficients"
				}
			}
		}
	}
	return ""
}

// planes gives the samples that image/jpeg makes, a component each; nil for a form that it does not read or
// converts to another colour space.
func planes(t testing.TB, b []byte) []image.Gray {
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Logf("image/jpeg: %v", err)
		return nil
	}
	switch m := m.(type) {
	case *image.Gray:
		return []image.Gray{*m}
	case *image.YCbCr:
		r, c := m.Rect, m.Rect
		switch m.SubsampleRatio {
		case image.YCbCrSubsampleRatio422:
			c.Max.X = (r.Max.X + 1) / 2
		case image.YCbCrSubsampleRatio420:
			c.Max.X, c.Max.Y = (r.Max.X+1)/2, (r.Max.Y+1)/2
		case image.YCbCrSubsampleRatio440:
			c.Max.Y = (r.Max.Y + 1) / 2
		case image.YCbCrSubsampleRatio411:
			c.Max.X = (r.Max.X + 3) / 4
		case image.YCbCrSubsampleRatio410:
			c.Max.X, c.Max.Y = (r.Max.X+3)/4, (r.Max.Y+1)/2
		}
		return []image.Gray{{Pix: m.Y, Stride: m.YStride, Rect: r}, {Pix: m.Cb, Stride: m.CStride, Rect: c}, {Pix: m.Cr, Stride: m.CStride, Rect: c}}
	}
	return nil
}
