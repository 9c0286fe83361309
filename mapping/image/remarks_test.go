package image

import (
	"bytes"
	stdimage "image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/fixtures/photos"
)

func TestRemarks(t *testing.T) {
	shade := stdimage.NewGray(stdimage.Rect(0, 0, 900, 700))
	draw.Draw(shade, shade.Rect, stdimage.NewUniform(color.Gray{70}), stdimage.Point{}, draw.Src)
	nearly := stdimage.NewGray(shade.Rect)
	for i := range nearly.Pix {
		nearly.Pix[i] = 16 + uint8(i%7) // the inside of a pocket
	}
	marked := stdimage.NewGray(shade.Rect)
	draw.Draw(marked, stdimage.Rect(400, 300, 440, 340), stdimage.NewUniform(color.Gray{40}), stdimage.Point{}, draw.Src)
	encoded := func(im stdimage.Image) []byte {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, im, nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var flat bytes.Buffer
	if err := png.Encode(&flat, shade); err != nil {
		t.Fatal(err)
	}
	const focus = "neither focal length nor distance"
	photo := photos.Lesion{Seed: 2, View: photos.CloseUp, Width: 800, Height: 600, Quality: 85}.JPEG()
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"a photo":             {photo, focus},
		"a phone's":           {photos.WithEverything(photo, 1), ""},
		"coarse":              {photos.Lesion{Seed: 2, View: photos.Dermoscopic, Width: 800, Height: 600, Quality: 10}.JPEG(), focus},
		"small":               {photos.Lesion{Seed: 2, View: photos.CloseUp, Width: 160, Height: 120, Quality: 85}.JPEG(), "a small photo: 160 by 120 pixels," + focus},
		"of one shade":        {encoded(shade), "a blank photo," + focus},
		"of nearly one shade": {encoded(nearly), "a blank photo," + focus},
		"with a mark on it":   {encoded(marked), focus},
		"cut off":             {encoded(shade)[:700], focus},
		"a PNG of one shade":  {flat.Bytes(), "a blank photo," + focus},
		"a document":          {[]byte("%PDF-1.4"), ""},
	} {
		f, _ := inspect(c.file, Limits{})
		var got []string
		for _, r := range Remarks(bytes.NewReader(c.file), f) {
			got = append(got, r.Text)
		}
		want := strings.Split(c.want, ",")
		if c.want == "" {
			want = nil
		}
		ok := len(got) == len(want)
		for i := range min(len(got), len(want)) {
			ok = ok && strings.Contains(got[i], want[i])
		}
		if !ok {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
