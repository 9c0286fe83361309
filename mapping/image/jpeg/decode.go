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
			return nil, said(err)
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

// Stream gives the bands of a JPEG, decoding them at each reading. Only one band is held, in however many
// scans its coefficients come. The errors are those of Decode; bands before the fault may have been given.
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

// all reads a picture: first where its scans are, then all of them side by side, one row of MCUs after the
// other, so that a row is complete before the next is begun.
func (r *reader) all() error {
	scans, err := r.survey()
	cut := err == errCutOff
	switch {
	case err != nil && (!cut || len(scans) == 0):
		return said(err)
	case len(scans) == 0:
		return broken("without a picture")
	case !cut && !r.covered():
		return broken("without all of its components")
	}
	if cut { // only where is of interest
		r.yield = func(*Band) error { return nil }
	}
	if err := r.room(); err != nil {
		return err
	}
	if err := r.rows(scans); err != nil {
		return err
	}
	return said(err)
}

// survey reads all segments and passes over what is between them. What is cut off may still have rows.
func (r *reader) survey() (scans []*scan, err error) {
	for {
		marker, data, err := r.next()
		switch {
		case err != nil:
			return scans, err
		case marker == mEOI:
			return scans, nil
		case marker == mSOS:
			s, err := r.scanHeader(data)
			if err != nil {
				return nil, err
			}
			scans = append(scans, s)
			continue
		}
		if err := r.segment(marker, data); err != nil {
			return nil, err
		}
	}
}

func (r *reader) rows(scans []*scan) error {
	for row := range r.mcusDown() {
		for _, s := range scans {
			if err := s.band(row); err != nil {
				return err
			}
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
	return nil
}

// covered tells whether the scans bring all components.
func (r *reader) covered() bool {
	return !slices.ContainsFunc(r.known, func(known *[64]int8) bool { return known[0] < 0 })
}

// room makes the planes: of the picture, or of one band.
func (r *reader) room() error {
	rows := r.mcusDown()
	switch {
	case r.yield != nil:
		rows = 1
	case r.Memory() > r.lim.Memory:
		return issue.New(issue.TooLong, "", "a photo with more pixels than can be held")
	}
	r.planes = r.Header.planes(rows)
	return nil
}
