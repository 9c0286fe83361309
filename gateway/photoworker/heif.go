package photoworker

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	stdimage "image"
	"io"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/dermgate/dermgate/mapping/issue"
)

//go:embed libheif/heif.wasm.gz
var libheif []byte

// What its decode says of a picture (libheif/heif.h).
const (
	inYCbCr      = 0
	inRGB        = 1
	inMonochrome = 2

	chroma420 = 1
	chroma422 = 2
	chroma444 = 3
)

// sandbox is libheif in a WebAssembly machine that has no files, no clock and no more than 1 GiB of memory.
type sandbox struct {
	ctx            context.Context
	mod            api.Module
	malloc, decode api.Function
}

func newSandbox(ctx context.Context) (*sandbox, error) {
	z, err := gzip.NewReader(bytes.NewReader(libheif))
	if err != nil {
		return nil, err
	}
	code, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(1<<30>>16))
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
		return nil, err
	}
	mod, err := rt.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		return nil, err
	}
	s := &sandbox{ctx, mod, mod.ExportedFunction("malloc"), mod.ExportedFunction("decode")}
	if s.malloc == nil || s.decode == nil {
		return nil, errors.New("libheif exports no decode")
	}
	return s, nil
}

// alloc takes memory in the machine; it is given back with the machine.
func (s *sandbox) alloc(n int) (uint64, error) {
	got, err := s.malloc.Call(s.ctx, uint64(n))
	if err == nil && got[0] == 0 {
		err = errors.New("no memory left for the picture")
	}
	if err != nil {
		return 0, err
	}
	return got[0], nil
}

// heif is what a HEIC says of itself, and where it lies in the machine.
type heif struct {
	*sandbox
	in, facts             uint64
	size                  int
	width, height, colour int
	chroma, premultiplied int
}

// open puts a HEIC into the machine and asks what it is.
func (s *sandbox) open(b []byte) (*heif, error) {
	in, err := s.alloc(len(b))
	if err != nil {
		return nil, err
	}
	facts, err := s.alloc(5 * 4)
	if err != nil {
		return nil, err
	}
	if !s.mod.Memory().Write(uint32(in), b) {
		return nil, errors.New("libheif has no room for the file")
	}
	h := &heif{sandbox: s, in: in, facts: facts, size: len(b)}
	if err := h.call(true, 0); err != nil {
		return nil, err
	}
	for i, to := range []*int{&h.width, &h.height, &h.colour, &h.chroma, &h.premultiplied} {
		v, ok := s.mod.Memory().ReadUint32Le(uint32(facts) + uint32(4*i))
		if !ok {
			return nil, errors.New("libheif's answer lies outside its memory")
		}
		*to = int(v)
	}
	return h, nil
}

func (h *heif) call(only bool, out uint64) error {
	ask := uint64(0)
	if only {
		ask = 1
	}
	got, err := h.decode.Call(h.ctx, h.in, uint64(h.size), ask, h.facts, h.facts+4, h.facts+8, h.facts+12, h.facts+16, out)
	if err != nil {
		return err
	}
	if got[0] == 0 {
		return errors.New("libheif does not read it")
	}
	return nil
}

// aligned is the length of a row of libheif.
func aligned(n int) int { return (n + 15) &^ 15 }

// planes gives how many bytes a row of each plane has, and how many rows there are.
func (h *heif) planes() (strides, rows []int, err error) {
	half := func(n int) int { return (n + 1) / 2 }
	switch {
	case h.colour == inMonochrome:
		return []int{aligned(h.width)}, []int{h.height}, nil
	case h.colour == inRGB:
		return []int{aligned(4 * h.width)}, []int{h.height}, nil
	case h.colour != inYCbCr:
	case h.chroma == chroma420:
		c := aligned(half(h.width))
		return []int{aligned(h.width), c, c}, []int{h.height, half(h.height), half(h.height)}, nil
	case h.chroma == chroma422:
		c := aligned(half(h.width))
		return []int{aligned(h.width), c, c}, []int{h.height, h.height, h.height}, nil
	case h.chroma == chroma444:
		c := aligned(h.width)
		return []int{c, c, c}, []int{h.height, h.height, h.height}, nil
	}
	return nil, nil, fmt.Errorf("colours of kind %d, %d", h.colour, h.chroma)
}

// picture decodes it.
func (h *heif) picture() (stdimage.Image, error) {
	strides, rows, err := h.planes()
	if err != nil {
		return nil, err
	}
	size := 0
	for i := range strides {
		size += strides[i] * rows[i]
	}
	out, err := h.alloc(size)
	if err != nil {
		return nil, err
	}
	if err := h.call(false, out); err != nil {
		return nil, err
	}
	b, ok := h.mod.Memory().Read(uint32(out), uint32(size))
	if !ok {
		return nil, errors.New("libheif's picture lies outside its memory")
	}
	rect := stdimage.Rect(0, 0, h.width, h.height)
	switch {
	case h.colour == inMonochrome:
		return &stdimage.Gray{Pix: b, Stride: strides[0], Rect: rect}, nil
	case h.colour == inRGB && h.premultiplied == 1:
		return &stdimage.RGBA{Pix: b, Stride: strides[0], Rect: rect}, nil
	case h.colour == inRGB:
		return &stdimage.NRGBA{Pix: b, Stride: strides[0], Rect: rect}, nil
	}
	ratio := map[int]stdimage.YCbCrSubsampleRatio{chroma420: stdimage.YCbCrSubsampleRatio420, chroma422: stdimage.YCbCrSubsampleRatio422, chroma444: stdimage.YCbCrSubsampleRatio444}[h.chroma]
	y, c := strides[0]*rows[0], strides[1]*rows[1]
	return &stdimage.YCbCr{Y: b[:y], Cb: b[y : y+c], Cr: b[y+c:], YStride: strides[0], CStride: strides[1], SubsampleRatio: ratio, Rect: rect}, nil
}

// named gives a HEIC that says so in the first place: libheif takes no file that names the general format (mif1) before its
// own.
func named(b []byte) []byte {
	if len(b) < 16 || string(b[4:12]) != "ftypmif1" {
		return b
	}
	b = bytes.Clone(b)
	copy(b[8:], "heic")
	return b
}

// decodeHEIC gives a HEIC upright, as its boxes say: libheif turns it.
func decodeHEIC(b []byte, most int64) (*decoded, error) {
	s, err := newSandbox(context.Background())
	if err != nil {
		return nil, err
	}
	h, err := s.open(named(b))
	if err != nil {
		return nil, err
	}
	if err := within(stdimage.Config{Width: h.width, Height: h.height}, most); err != nil {
		return nil, err
	}
	im, err := h.picture()
	if err != nil {
		return nil, err
	}
	if y, ok := im.(*stdimage.YCbCr); ok {
		n := codingOf(b)
		if n.unusual() {
			return nil, issue.New(issue.UnsupportedType, "", "a HEIC whose colours are coded in a way that is not read (matrix "+n.String()+"): send a JPEG")
		}
		if !n.jpeg() {
			im = &video{y, n}
		}
	}
	p, err := rastered(im)
	if p != nil {
		p.Upright = true
	}
	return p, err
}
