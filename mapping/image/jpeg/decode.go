package jpeg

import (
	"slices"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Inspect reads what stands before the first scan. The errors are those of Decode that can be known by then.
func Inspect(b []byte, lim Limits) (*Header, error) {
	r, err := newReader(b, lim)
	if err != nil {
		return nil, err
	}
	for {
		marker, data, err := r.next()
		switch {
		case err != nil:
			return nil, err
		case marker == mSOS && r.framed:
			return &r.Header, nil
		case marker == mSOS || marker == mEOI:
			return nil, broken("without a picture")
		}
		if err := r.segment(marker, data); err != nil {
			return nil, err
		}
	}
}

// Decode reads a whole JPEG down to its coefficients. The error is an *issue.Issue: Structure (cut off,
// damaged or not what the standard allows, with the scan and row), UnsupportedType (a form of JPEG that
// viewers do not open), TooLong (over a limit).
func Decode(b []byte, lim Limits) (*Picture, error) {
	r, err := newReader(b, lim)
	if err != nil {
		return nil, err
	}
	if err := r.all(); err != nil {
		return nil, err
	}
	return &Picture{r.Header, r.planes}, nil
}

// all reads to the end of the picture.
func (r *reader) all() error {
	for {
		marker, data, err := r.next()
		switch {
		case err != nil:
			return err
		case marker == mEOI:
			return r.complete()
		case marker == mSOS:
			err = r.scan(data)
		default:
			err = r.segment(marker, data)
		}
		if err != nil {
			return err
		}
	}
}

// complete sees that something came of every component.
func (r *reader) complete() error {
	if r.planes == nil {
		return broken("without a picture")
	}
	for _, known := range r.known {
		if known[0] < 0 {
			return broken("without all of its components")
		}
	}
	return nil
}

func (r *reader) scan(data []byte) error {
	if r.planes == nil {
		if err := r.room(); err != nil {
			return err
		}
	}
	s, err := r.scanHeader(data)
	if err != nil {
		return err
	}
	if r.yield != nil && len(s.parts) < len(r.Components) {
		return errNoBands
	}
	for row := range s.down {
		if err := s.row(row); err != nil {
			return err
		}
		if r.yield == nil {
			continue
		}
		if err := r.yield(&Band{&r.Header, row, r.planes}); err != nil {
			return err
		}
		for _, p := range r.planes {
			clear(p.coefs)
			clear(p.masks)
		}
	}
	r.pos = s.bits.toMarker()
	return nil
}

// room makes the planes before the first scan.
func (r *reader) room() error {
	if !r.framed {
		return broken("with a scan before its frame")
	}
	rows := r.mcusDown()
	switch {
	case r.yield != nil && r.Progressive:
		return errNoBands
	case r.yield != nil:
		rows = 1
	case r.Memory() > r.lim.Memory:
		return issue.New(issue.TooLong, "", "a photo with more pixels than can be held")
	}
	r.planes = r.Header.planes(rows)
	r.known = make([]*[64]int8, len(r.Components))
	for i := range r.known {
		r.known[i] = new([64]int8)
		for k := range r.known[i] {
			r.known[i][k] = -1
		}
	}
	return nil
}

// errNoBands says that the coefficients of a row come in more than one scan.
var errNoBands = refused("a JPEG in several scans cannot be read in rows")

// Streams tells whether a JPEG can be read in Bands: its first scan is sequential and has all components.
func Streams(b []byte, lim Limits) bool {
	r, err := newReader(b, lim)
	if err != nil {
		return false
	}
	stop := refused("read no further")
	r.yield = func(*Band) error { return stop }
	return r.all() == stop
}

// Stream gives the bands of a JPEG for which Streams is true, decoding them at each reading. Only one band
// is held.
func Stream(b []byte, lim Limits) Bands {
	b = slices.Clip(b)
	return func(yield func(*Band) error) error {
		r, err := newReader(b, lim)
		if err != nil {
			return err
		}
		r.yield = yield
		return r.all()
	}
}
