package image

import (
	"bytes"
	"slices"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Strip takes private metadata out of a photo and leaves the compressed pixels byte for byte, the colour
// profile, orientation, density and time of capture. It gives the names of what it removed (see
// Facts.Private; camera-settings went with the EXIF block they stood in). With nothing to remove, and for
// documents, out is b itself.
//
// JPEG, PNG, GIF, WebP and BMP can be stripped. Another photo type that carries private metadata is an
// *issue.Issue of kind UnsupportedType; a photo that does not hold together is one of Structure or TooLong.
func Strip(b []byte) (out []byte, removed []string, err error) {
	a, err := dissect(b, Sniff(b))
	if err != nil {
		return nil, nil, err
	}
	if len(a.Private) == 0 {
		return b, nil, nil
	}
	if len(a.keep) == 0 {
		return nil, nil, issue.New(issue.UnsupportedType, "",
			"private metadata cannot be taken out of "+a.Type.String()+" without decoding it: send a JPEG or PNG")
	}
	removed = a.Private
	if len(a.meta.private) > 0 && a.meta.settings {
		removed = slices.Insert(removed, 0, "camera-settings")
		slices.Sort(removed)
	}
	return bytes.Join(a.keep, nil), removed, nil
}
