package photoworker

import (
	"bytes"
	"context"
	stdimage "image"
	"image/color"
	"image/gif"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

func TestMain(m *testing.M) {
	Work()
	os.Exit(m.Run())
}

const many = 4 << 20 // pixels

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "mapping", "image", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// open decodes in a worker process.
func open(t *testing.T, b []byte) (*Raster, error) {
	t.Helper()
	return new(Decoder).Open(context.Background(), bytes.NewReader(b), image.Sniff(b), many)
}

// pixels gives all rows.
func pixels(t *testing.T, b []byte) (Head, []byte) {
	t.Helper()
	r, err := open(t, b)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := make([]byte, r.Width*r.Height*r.Samples)
	for y := range r.Height {
		if err := r.Row(out[y*r.Width*r.Samples : (y+1)*r.Width*r.Samples]); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Row(make([]byte, r.Width*r.Samples)); err == nil {
		t.Error("a row behind the last")
	}
	return r.Head, out
}

// painted is a picture of which every pixel is known.
func painted() *stdimage.NRGBA {
	im := stdimage.NewNRGBA(stdimage.Rect(3, 5, 40, 30))
	for y := 5; y < 30; y++ {
		for x := 3; x < 40; x++ {
			im.SetNRGBA(x, y, color.NRGBA{uint8(6 * x), uint8(8 * y), uint8(x * y), 255})
		}
	}
	return im
}

func TestPixelsAreThoseOfThePicture(t *testing.T) {
	im := painted()
	var asPNG, asBMP, asTIFF bytes.Buffer
	if err := png.Encode(&asPNG, im); err != nil {
		t.Fatal(err)
	}
	if err := bmp.Encode(&asBMP, im); err != nil {
		t.Fatal(err)
	}
	if err := tiff.Encode(&asTIFF, im, nil); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"png": asPNG.Bytes(), "bmp": asBMP.Bytes(), "tiff": asTIFF.Bytes()} {
		head, got := pixels(t, b)
		if head.Width != 37 || head.Height != 25 || head.Samples != 3 || head.Blended || head.Reduced {
			t.Errorf("%s: %+v", name, head)
			continue
		}
		for y := range 25 {
			for x := range 37 {
				want := im.NRGBAAt(x+3, y+5)
				if p := got[3*(y*37+x):]; p[0] != want.R || p[1] != want.G || p[2] != want.B {
					t.Fatalf("%s: the pixel %d,%d is %v, want %v", name, x, y, p[:3], want)
				}
			}
		}
	}
}

// What is transparent lies on white, 16 bits are rounded to 8, greys stay grey, the first frame of several is taken.
func TestOtherKindsOfPixels(t *testing.T) {
	glass := stdimage.NewNRGBA(stdimage.Rect(0, 0, 2, 1))
	glass.SetNRGBA(0, 0, color.NRGBA{200, 0, 0, 128})
	glass.SetNRGBA(1, 0, color.NRGBA{9, 9, 9, 0})
	deep := stdimage.NewRGBA64(stdimage.Rect(0, 0, 1, 1))
	deep.SetRGBA64(0, 0, color.RGBA64{0x0180, 0xffff, 0x8000, 0xffff})
	grey := stdimage.NewGray16(stdimage.Rect(0, 0, 2, 1))
	grey.SetGray16(0, 0, color.Gray16{0x00ff})
	grey.SetGray16(1, 0, color.Gray16{0xff7f})
	palette := stdimage.NewPaletted(stdimage.Rect(0, 0, 2, 1), color.Palette{color.Gray{0}, color.Gray{77}})
	palette.SetColorIndex(1, 0, 1)
	var film bytes.Buffer
	first, second := stdimage.NewPaletted(stdimage.Rect(0, 0, 1, 1), color.Palette{color.RGBA{255, 0, 0, 255}}), stdimage.NewPaletted(stdimage.Rect(0, 0, 1, 1), color.Palette{color.RGBA{0, 0, 255, 255}})
	if err := gif.EncodeAll(&film, &gif.GIF{Image: []*stdimage.Paletted{first, second}, Delay: []int{1, 1}}); err != nil {
		t.Fatal(err)
	}
	encoded := func(im stdimage.Image) []byte {
		var out bytes.Buffer
		if err := png.Encode(&out, im); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for name, c := range map[string]struct {
		file []byte
		want []byte
		head Head
	}{
		"transparent": {encoded(glass), []byte{227, 127, 127, 255, 255, 255}, Head{Width: 2, Height: 1, Samples: 3, Blended: true}},
		"16 bits":     {encoded(deep), []byte{1, 255, 128}, Head{Width: 1, Height: 1, Samples: 3, Reduced: true}},
		"16 bit grey": {encoded(grey), []byte{1, 255}, Head{Width: 2, Height: 1, Samples: 1, Reduced: true}},
		"greys":       {encoded(palette), []byte{0, 77}, Head{Width: 2, Height: 1, Samples: 1}},
		"film":        {film.Bytes(), []byte{255, 0, 0}, Head{Width: 1, Height: 1, Samples: 3}},
	} {
		head, got := pixels(t, c.file)
		if !bytes.Equal(got, c.want) || head.Width != c.head.Width || head.Samples != c.head.Samples || head.Blended != c.head.Blended || head.Reduced != c.head.Reduced {
			t.Errorf("%s: %v %+v, want %v %+v", name, got, head, c.want, c.head)
		}
	}
}

// A HEIC from a phone's kind comes upright; the mean colours of some squares are those that heif-convert (libheif 1.15.1) gives.
func TestHEIC(t *testing.T) {
	head, got := pixels(t, file(t, "cheers_1440x960.heic"))
	if head.Width != 1440 || head.Height != 960 || head.Samples != 3 || !head.Upright {
		t.Fatalf("%+v", head)
	}
	for at, want := range heicPixels {
		for i := range 3 {
			sum := 0
			for y := range 16 {
				for x := range 16 {
					sum += int(got[3*((at[1]+y)*1440+at[0]+x)+i])
				}
			}
			if d := (sum+128)/256 - want[i]; d < -2 || d > 2 {
				t.Errorf("the 16 by 16 pixels at %v are %d in sample %d, want %d", at, (sum+128)/256, i, want[i])
			}
		}
	}
}

func TestADICOMGivesItsJPEG(t *testing.T) {
	r, err := open(t, file(t, "SC_rgb_small_odd_jpeg.dcm"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := r.Bytes(1 << 20)
	if err != nil || !r.JPEG || r.DICOM == nil || image.Sniff(b) != image.JPEG {
		t.Errorf("%v, %+v", err, r.Head)
	}
}

// Whatever is wrong with a photo is an issue of that photo.
func TestBadPhotos(t *testing.T) {
	bomb := stdimage.NewPaletted(stdimage.Rect(0, 0, 5000, 5000), color.Palette{color.Gray{0}})
	var b bytes.Buffer
	if err := png.Encode(&b, bomb); err != nil {
		t.Fatal(err)
	}
	heic := file(t, "cheers_1440x960.heic")
	for name, c := range map[string]struct {
		file []byte
		kind issue.Kind
	}{
		"too many pixels": {b.Bytes(), issue.TooLong},
		"cut off":         {b.Bytes()[:b.Len()/2], issue.TooLong},
		"broken PNG":      {append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 40)...), issue.Structure},
		"broken HEIC":     {append(bytes.Clone(heic[:40]), bytes.Repeat([]byte{0xa5}, 4000)...), issue.Structure},
		"HEIC cut off":    {heic[:len(heic)/2], issue.Structure},
		"another type":    {[]byte("%PDF-1.4"), issue.UnsupportedType},
	} {
		r, err := open(t, c.file)
		if i := issue.From(err); i == nil || i.Kind != c.kind {
			t.Errorf("%s: %v, want %s", name, err, c.kind)
		}
		if r != nil {
			r.Close()
		}
	}
}

// A worker that does not answer, one that dies in the middle and one that takes too much memory refuse their photo; whoever
// asked goes on.
func TestAWorkerThatFails(t *testing.T) {
	var photo bytes.Buffer
	if err := png.Encode(&photo, painted()); err != nil {
		t.Fatal(err)
	}
	shell := func(script string) []string { return []string{"/bin/sh", "-c", script} }
	for name, c := range map[string]struct {
		decoder Decoder
		text    string
	}{
		"silent":    {Decoder{Command: shell("sleep 60"), Within: 300 * time.Millisecond}, "too long"},
		"dead":      {Decoder{Command: shell("exit 3")}, "broke"},
		"babbling":  {Decoder{Command: shell("cat >/dev/null; echo nonsense")}, "broke"},
		"no memory": {Decoder{Memory: 4 << 20}, "broke"},
	} {
		began := time.Now()
		r, err := c.decoder.Open(context.Background(), bytes.NewReader(photo.Bytes()), image.PNG, many)
		if i := issue.From(err); i == nil || i.Kind != issue.Structure || !strings.Contains(i.Text, c.text) {
			t.Errorf("%s: %v", name, err)
		}
		if r != nil {
			r.Close()
		}
		if time.Since(began) > 20*time.Second {
			t.Errorf("%s: took %v", name, time.Since(began))
		}
	}
	half := Decoder{Command: shell(`cat >/dev/null; echo '{"Head":{"Width":4,"Height":2,"Samples":1}}'; printf abcd`)}
	r, err := half.Open(context.Background(), bytes.NewReader(photo.Bytes()), image.PNG, many)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	row := make([]byte, 4)
	if err := r.Row(row); err != nil || string(row) != "abcd" {
		t.Errorf("%s %v", row, err)
	}
	if err := r.Row(row); issue.From(err) == nil {
		t.Errorf("the row that never came: %v", err)
	}
}

type gone struct{}

func (gone) ReadAt([]byte, int64) (int, error) { return 0, os.ErrClosed }
func (gone) Size() int64                       { return 100 }

func TestAPhotoThatCannotBeReadIsNotBlamed(t *testing.T) {
	_, err := new(Decoder).Open(context.Background(), gone{}, image.PNG, many)
	if unread, ok := err.(*image.ReadError); !ok || unread.Cause != os.ErrClosed {
		t.Errorf("%v", err)
	}
	if _, err := (&Decoder{Command: []string{"/nowhere"}}).Open(context.Background(), gone{}, image.PNG, many); err == nil || issue.From(err).Kind != issue.Internal {
		t.Errorf("no worker: %v", err)
	}
}

var heicPixels = map[[2]int][3]int{{96, 96}: {235, 186, 125}, {704, 400}: {49, 24, 3}, {1392, 896}: {94, 62, 38}, {400, 800}: {118, 80, 34}}
