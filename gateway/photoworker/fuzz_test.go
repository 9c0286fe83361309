package photoworker

import (
	"bytes"
	"testing"

	"github.com/dermgate/dermgate/mapping/image"
)

// FuzzBoxes: colour codings and stream headers are looked for in whatever bytes.
func FuzzBoxes(f *testing.F) {
	for _, name := range []string{"cheers_1440x960.heic", "rot1mir0.avif", "icc_profile.png"} {
		b := file(f, name)
		f.Add(b[:min(len(b), 8<<10)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := codingOf(b); !n.unusual() && n.matrix < 0 {
			t.Error("no such matrix")
		}
		if image.Sniff(b) == image.HEIC && !bytes.Equal(named(b)[12:], b[12:]) {
			t.Error("more than the name was changed")
		}
	})
}
