package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/dermgate/dermgate/fixtures/photos"
	coefficients "github.com/dermgate/dermgate/mapping/image/jpeg"
)

// BenchmarkPhotoMemory is how large gateway photo becomes (peak-MB) by a photo of 48 MP, as phones write it, progressive, and with
// colour in full (4:4:4), that has to be optimised, requantised or resized. Below 250 MB is wanted.
func BenchmarkPhotoMemory(b *testing.B) {
	l := photos.Megapixels(1, 48)
	l.Quality = 96
	sequential := l.JPEG()
	progressive, err := coefficients.EncodeProgressive(coefficients.Stream(sequential, coefficients.Limits{}))
	if err != nil {
		b.Fatal(err)
	}
	for name, photo := range map[string][]byte{"sequential": sequential, "progressive": progressive, "4:4:4": fullColour(b, sequential)} {
		in := filepath.Join(b.TempDir(), "in.jpg")
		if err := os.WriteFile(in, photo, 0o600); err != nil {
			b.Fatal(err)
		}
		for _, hundredths := range []int{94, 80, 30} {
			b.Run(fmt.Sprintf("%s/to-%d-percent", name, hundredths), func(b *testing.B) {
				for b.Loop() {
					peak, said := peakAlone(b, "photo", "--max-bytes", fmt.Sprint(len(photo)*hundredths/100), in)
					b.ReportMetric(peak, "peak-MB")
					b.Logf("%d bytes: %s", len(photo), regexp.MustCompile(`"step":"[a-z]*"`).FindString(said))
				}
			})
		}
	}
}

// fullColour gives a photo with as many samples of colour as of light, by djpeg and cjpeg.
func fullColour(b *testing.B, photo []byte) []byte {
	b.Helper()
	cmd := exec.Command("sh", "-c", "djpeg | cjpeg -sample 1x1 -quality 94")
	cmd.Stdin = bytes.NewReader(photo)
	out, err := cmd.Output()
	if err != nil || len(out) < len(photo)/2 {
		b.Fatalf("%v, %d bytes", err, len(out))
	}
	return out
}

// peakAlone runs the built program and gives its largest resident size in MB, and what it said.
func peakAlone(b *testing.B, args ...string) (peak float64, said string) {
	b.Helper()
	path, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if peak, err = watch(cmd); err != nil {
		b.Fatal(err, out.String())
	}
	return peak, out.String()
}

// watch waits for the end of a process, and gives the largest resident size in MB that it was seen with. Its Maxrss is no
// less than what its parent had.
func watch(cmd *exec.Cmd) (peak float64, err error) {
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			return peak, err
		case <-time.After(2 * time.Millisecond):
			peak = max(peak, peakOf(cmd.Process.Pid))
		}
	}
}
