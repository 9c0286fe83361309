package photoworker

import (
	"bytes"
	"testing"

	"github.com/dermgate/dermgate/mapping/image"
)

// FuzzBoxes: profiles, colour codings and stream headers are looked for in whatever bytes; what is given is part of them.
func FuzzBoxes(f *testing.F) {
	for _, name := range []string{"cheers_1440x960.heic", "icc_profile.png", "hopper.webp", "child_ifd.tiff"} {
		b := file(f, name)
		f.Add(b[:min(len(b), 8<<10)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, icc := range [][]byte{iccOfHEIC(b), iccOfWebP(b), iccOfTIFF(b)} {
			if len(icc) > 0 && !bytes.Contains(b, icc) {
				t.Error("a profile that is not in the file")
			}
		}
		if len(iccOfPNG(b)) > mostProfile {
			t.Error("a profile that is too long")
		}
		if n := codingOf(b); !n.unusual() && n.matrix < 0 {
			t.Error("no such matrix")
		}
		if image.Sniff(b) == image.HEIC && !bytes.Equal(named(b)[12:], b[12:]) {
			t.Error("more than the name was changed")
		}
	})
}
