package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/photoworker"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

func photoVerb(std stdio) *cobra.Command {
	var f photoFlags
	c := &cobra.Command{
		Use:   "photo [--max-bytes SIZE] [--max-pixels N] [--types LIST] IN [-o OUT]",
		Short: "make one photo fit as the gateway does: what changed, and what metadata went",
		Long: "Make one photo fit a destination with the least harm, and print what was done as one JSON object. The steps, of which\n" +
			"the first that fits is taken: untouched; stripped (metadata that does not belong outside taken out, the compressed\n" +
			"pixels byte for byte; it goes in any case); optimised (the same pixels in fewer bytes); requantised; resized. A photo\n" +
			"that would fall under the floor is refused. One of another type than --types has, or too large and no JPEG, is\n" +
			"converted: its pixels encoded once as a JPEG, or the JPEG that a DICOM file holds taken out; lost says what a JPEG\n" +
			"cannot hold (transparency, depth). removed names the metadata taken out, never its values. ssim and psnr (dB) say how\n" +
			"like the original it still is, after resizing how like the original of that size; without psnr it is the same. remarks\n" +
			"are what was measured: a small photo, a blank one, one that does not say how it was focused; a DICOM that has, or\n" +
			"may have, the patient's data in its picture. IN may be - for standard input; without -o nothing is written, and with\n" +
			"-o - the photo goes to standard output and what is said of it to standard error.",
		Example: "  gateway photo --max-bytes 5MiB IMG_0042.jpg -o L1-closeup.jpg",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return f.run(c.Context(), std, args[0]) },
	}
	c.Flags().Var(measure{&f.to.Bytes, "SIZE", config.ParseBytes}, "max-bytes", "bytes that the destination takes, such as 5242880, 5MiB or 745KB; 0: any number")
	c.Flags().Var(measure{&f.to.Pixels, "N", config.ParsePixels}, "max-pixels", "width times height that the destination takes, such as 12MP; 0: any number")
	c.Flags().StringSliceVar(&f.types, "types", nil, "types that the destination takes, such as jpeg,png,heic or image/jpeg (default: any)")
	c.Flags().BoolVar(&f.to.SRGB, "srgb", false, "the destination shows every photo as sRGB: turn one of another profile (P3) into it")
	c.Flags().StringVarP(&f.out, "out", "o", "", "file to write the derivative to")
	c.Flags().Float64Var(&f.floor.SSIM, "min-ssim", 0.95, "floor: likeness to the original")
	c.Flags().IntVar(&f.floor.Side, "min-side", 1000, "floor: pixels of the shorter side, when resized")
	c.Flags().IntVar(&f.floor.Quality, "min-quality", 75, "floor: JPEG quality, when requantised or resized")
	return c
}

// measure is a flag of a number with a unit, as in the configuration.
type measure struct {
	n     *int64
	named string
	parse func(string) (int64, error)
}

func (m measure) String() string {
	if m.n == nil || *m.n == 0 {
		return ""
	}
	return strconv.FormatInt(*m.n, 10)
}

func (m measure) Type() string { return m.named }

func (m measure) Set(s string) (err error) {
	if *m.n, err = m.parse(s); err != nil {
		return fmt.Errorf("it %w", err)
	}
	return nil
}

type photoFlags struct {
	to    image.Target
	floor image.Floor
	types []string
	out   string
}

func (f photoFlags) run(ctx context.Context, std stdio, name string) error {
	switch {
	case f.floor.Side < 1 || f.floor.Quality < 1 || f.floor.Quality > 100:
		return errUsage{errors.New("--min-side is 1 or more, and --min-quality is 1 to 100")}
	case f.floor.SSIM <= 0 || f.floor.SSIM > 1:
		return errUsage{errors.New("--min-ssim is above 0 and at most 1")}
	}
	f.to.Decode = new(photoworker.Decoder).Decode(ctx)
	for _, name := range f.types {
		t := image.TypeNamed(name)
		if t == image.Unknown {
			return errUsage{fmt.Errorf("--types: no type %q: jpeg, png, gif, tiff, dicom …", name)}
		}
		f.to.Types = append(f.to.Types, t)
	}
	photo := std.out
	if f.out == "-" {
		std.out = std.err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // one large thing after the other: memory before time
	file, done, err := photoFile(name, std.in)
	if err != nil {
		return err
	}
	defer done()
	p, err := image.Fit(file, image.Limits{}, f.to, f.floor)
	var i *issue.Issue
	switch {
	case errors.As(err, &i):
		return refusal(std, true, i)
	case err != nil:
		return err
	}
	if err := f.write(photo, io.NewSectionReader(p, 0, p.Size())); err != nil {
		return err
	}
	return printJSON(std.out, photoRecord(p, append(p.Remarks, image.Remarks(file, p.Original)...)))
}

// write writes the derivative where it is wanted.
func (f photoFlags) write(out io.Writer, photo io.Reader) error {
	switch f.out {
	case "":
		return nil
	case "-":
		_, err := io.Copy(out, photo)
		return err
	}
	if info, err := os.Stat(f.out); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: -o names a file", f.out)
	}
	return writeWhole(f.out, photo)
}

// photoFile opens a photo: a file is read where it lies.
func photoFile(name string, in io.Reader) (image.File, func(), error) {
	if name == "-" {
		b, err := io.ReadAll(io.LimitReader(in, image.MostBytes+1)) // one more is refused
		return bytes.NewReader(b), func() {}, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	switch {
	case err == nil && info.IsDir():
		err = fmt.Errorf("%s is a folder: one photo at a time", name)
	case err == nil && !info.Mode().IsRegular():
		err = fmt.Errorf("%s is no file: - is standard input", name)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return sizedFile{f, info.Size()}, func() { f.Close() }, nil
}

type sizedFile struct {
	*os.File
	size int64
}

func (f sizedFile) Size() int64 { return f.size }

// writeWhole writes a file that is there whole or not at all, which may be the one that is read.
func writeWhole(name string, content io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".photo-*")
	var fault *os.PathError
	switch {
	case errors.As(err, &fault):
		return &os.PathError{Op: "write", Path: name, Err: fault.Err} // not that of the temporary file
	case err != nil:
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, content)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// photoRecord is what is printed of a photo that was made to fit.
func photoRecord(p *image.Fitted, remarks issue.List) any {
	type side struct {
		SHA256    string `json:"sha256"`
		MediaType string `json:"media_type"`
		Bytes     int64  `json:"bytes"`
		Width     int    `json:"width,omitempty"`
		Height    int    `json:"height,omitempty"`
	}
	of := func(f image.Facts, sum [32]byte) side {
		return side{fmt.Sprintf("%x", sum), f.Type.MediaType(), f.Bytes, f.Width, f.Height}
	}
	out := struct {
		Original side       `json:"original"`
		Derived  side       `json:"derived"`
		Step     image.Step `json:"step"`
		Quality  int        `json:"quality,omitempty"`
		SSIM     float64    `json:"ssim,omitempty"`
		PSNR     float64    `json:"psnr,omitempty"`
		Removed  []string   `json:"removed"`
		Lost     []string   `json:"lost,omitempty"`
		Remarks  issue.List `json:"remarks,omitempty"`
	}{Original: of(p.Original, p.OriginalSHA256), Derived: of(p.Result, p.SHA256), Step: p.Step, Quality: p.Quality, Removed: p.Removed, Lost: p.Lost, Remarks: remarks}
	if out.Removed == nil {
		out.Removed = []string{}
	}
	if p.Quality > 0 {
		out.SSIM = p.Likeness.SSIM
		if !math.IsInf(p.Likeness.PSNR, 1) { // JSON has no infinity
			out.PSNR = p.Likeness.PSNR
		}
	}
	return out
}
