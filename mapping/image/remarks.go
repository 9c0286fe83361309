package image

import (
	"fmt"

	"github.com/dermgate/dermgate/mapping/image/jpeg"
	"github.com/dermgate/dermgate/mapping/issue"
)

// smallSide is under how many pixels of its shorter side a photo is small. Those of phones and dermatoscopes have over a
// thousand; a thumbnail that was sent in place of its photo has 160.
const smallSide = 400

// A picture is blank when its shades are all within so many levels of 256: the inside of a pocket, a page, a file that
// was filled up. Only one that takes next to no bytes is looked at.
const (
	blankRange  = 12
	blankPixels = 12  // a byte, of a JPEG; a photo has 2 to 6
	blankRaw    = 200 // bytes of samples a byte, of a PNG; deflate cannot do more than 1032, and of a photo does 3
)

// Remarks are what can be measured of a photo that was inspected and may be of interest to whoever sent it: that it is small
// or blank (of severity warning), and that it does not say how it was focused (information). They say nothing of whether a
// photo is good enough: that is for the person who looks at it. A DICOM is not looked into, a document has none.
func Remarks(f File, facts Facts) (out issue.List) {
	if !facts.measured() {
		return nil
	}
	if min(facts.Width, facts.Height) < smallSide {
		out = append(out, issue.Warn(issue.Value, "", fmt.Sprintf("a small photo: %d by %d pixels", facts.Width, facts.Height)))
	}
	if blank(f, facts) {
		out = append(out, issue.Warn(issue.Value, "", "a blank photo: all of it has one shade"))
	}
	if !facts.Focus {
		out = append(out, &issue.Issue{Kind: issue.Value, Severity: issue.Information, Text: "a photo that says neither focal length nor distance"})
	}
	return out
}

// blank tells whether a picture is all of one shade. One that cannot be read is not.
func blank(f File, facts Facts) bool {
	pixels := int64(facts.Width) * int64(facts.Height)
	switch {
	case facts.Type == PNG:
		return pixels*int64(facts.Depth)/8 > facts.Bytes*blankRaw
	case facts.Type != JPEG || facts.Bytes > pixels/blankPixels+4096:
		return false
	}
	b, err := all(f)
	if err != nil {
		return false
	}
	low, high := 1<<20, -1<<20
	err = jpeg.Stream(b, jpeg.Limits{Pixels: pixels, Scans: 20})(func(band *jpeg.Band) error {
		l, h := band.Means(0)
		low, high = min(low, l), max(high, h)
		return nil
	})
	return err == nil && high-low <= blankRange
}
