package image

import (
	"bytes"
	"compress/zlib"
	"io"

	"github.com/dermgate/dermgate/mapping/issue"
)

// profile is where the colour profile (ICC.1) of a file stands.
type profile struct {
	parts  []section // in their order
	size   int64     // bytes of all together, as they stand
	packed bool      // compressed by zlib
}

// add notes a part.
func (p *profile) add(s section) error {
	p.parts = append(p.parts, s)
	if p.size += s.n; p.size > mostProfile {
		return largeProfile()
	}
	return nil
}

func largeProfile() error {
	return issue.New(issue.TooLong, "", "a colour profile larger than any device has")
}

// bytes gives the profile, nil when there is none, or none that can be read.
func (p *profile) bytes() ([]byte, error) {
	out := make([]byte, 0, p.size)
	for _, s := range p.parts {
		out = append(out, s.bytes(0, s.n)...)
	}
	if !p.packed {
		return out, nil
	}
	z, err := zlib.NewReader(bytes.NewReader(out))
	if err != nil {
		return nil, nil
	}
	switch out, err = io.ReadAll(io.LimitReader(z, mostProfile+1)); {
	case len(out) > mostProfile:
		return nil, largeProfile()
	case err != nil:
		return nil, nil
	}
	return out, nil
}

// Profile gives the colour profile of a photo that is no DICOM, nil when it has none. The errors are those of Inspect.
func Profile(f File) ([]byte, error) {
	w := newWindow(f)
	a, err := dissect(w, w.whole().sniff())
	if err != nil {
		return nil, err
	}
	out, err := a.icc.bytes()
	switch {
	case w.err != nil:
		return nil, w.err
	case len(out) == 0:
		return nil, err
	}
	return out, err
}
