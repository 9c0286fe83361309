package image

import (
	"bytes"
	"encoding/binary"

	"github.com/dermgate/dermgate/mapping/issue"
)

// segment is one marker segment of a JPEG (ITU-T T.81 Annex B). An SOS has its entropy-coded data with it.
type segment struct {
	marker byte
	whole  []byte // from the marker's 0xFF on
	data   []byte // what follows the length
}

// Markers (T.81 table B.1).
const (
	mTEM, mSOF0, mDHT, mJPG, mDAC = 0x01, 0xc0, 0xc4, 0xc8, 0xcc
	mRST0, mRST7                  = 0xd0, 0xd7
	mSOI, mEOI, mSOS              = 0xd8, 0xd9, 0xda
	mEXP                          = 0xdf
	mAPP0, mAPP1, mAPP2           = 0xe0, 0xe1, 0xe2
	mAPP13, mAPP14, mAPP15        = 0xed, 0xee, 0xef
	mCOM                          = 0xfe
)

// walkJPEG visits the marker segments from behind SOI up to and with EOI, and gives where the photo ends and
// how many bytes stood between segments. Readers skip such bytes, so they are no part of the picture.
func walkJPEG(b []byte, visit func(segment) error) (end, stray int, err error) {
	for i := 2; ; {
		k := bytes.IndexByte(b[min(i, len(b)):], 0xff)
		if k < 0 {
			return 0, 0, cutOff()
		}
		stray += k
		for i += k; i < len(b) && b[i] == 0xff; i++ { // any number of fill bytes (B.1.1.2)
		}
		if i == len(b) {
			return 0, 0, cutOff()
		}
		s := segment{marker: b[i]}
		start := i - 1
		i++
		switch m := s.marker; {
		case m == 0 || m == mTEM || m >= mRST0 && m <= mRST7:
			stray += 2 // outside entropy-coded data these mean nothing
			continue
		case m == mSOI:
			return 0, 0, issue.New(issue.Structure, "", "a JPEG that begins anew inside itself")
		case m == mEOI:
			s.whole = b[start:i]
			return i, stray, visit(s)
		}
		if i+2 > len(b) {
			return 0, 0, cutOff()
		}
		length := int(binary.BigEndian.Uint16(b[i:]))
		if length < 2 || i+length > len(b) {
			return 0, 0, cutOff()
		}
		s.data = b[i+2 : i+length]
		i += length
		if s.marker == mSOS {
			i = scanEnd(b, i)
		}
		s.whole = b[start:i]
		if err := visit(s); err != nil {
			return 0, 0, err
		}
	}
}

// scanEnd gives the end of entropy-coded data: the next marker that is no restart and no stuffed zero.
func scanEnd(b []byte, i int) int {
	for {
		k := bytes.IndexByte(b[i:], 0xff)
		if k < 0 || i+k+1 >= len(b) {
			return len(b)
		}
		i += k
		switch next := b[i+1]; {
		case next == 0xff:
			i++ // a fill byte
		case next == 0 || next >= mRST0 && next <= mRST7:
			i += 2
		default:
			return i
		}
	}
}

// isSOF tells the start-of-frame markers.
func isSOF(m byte) bool { return m >= mSOF0 && m <= 0xcf && m != mDHT && m != mJPG && m != mDAC }

// isTable tells the other segments that a decoder needs: tables, scans, frames.
func isTable(m byte) bool { return m >= mSOF0 && m <= mEXP && m != mJPG }

// jpegReader takes a JPEG apart.
type jpegReader struct {
	*anatomy
	frames, scans int
	profile       int // bytes of ICC
}

func (a *anatomy) jpeg(b []byte) error {
	r := jpegReader{anatomy: a}
	a.keep = append(a.keep, b[:2])
	end, stray, err := walkJPEG(b, r.segment)
	switch {
	case err != nil:
		return err
	case r.frames == 0 || r.scans == 0:
		return issue.New(issue.Structure, "", "a JPEG without a picture")
	}
	if stray > 0 {
		a.private("stray-bytes")
	}
	if end < len(b) {
		a.private("trailing")
	}
	return nil
}

func (r *jpegReader) segment(s segment) error {
	if err := r.part(); err != nil {
		return err
	}
	switch m := s.marker; {
	case isSOF(m):
		if err := r.frame(s); err != nil {
			return err
		}
	case m == mSOS:
		if r.scans++; r.scans > mostScans {
			return issue.New(issue.TooLong, "", "a JPEG in more scans than any camera writes")
		}
	case m == mAPP1 && bytes.HasPrefix(s.data, []byte(exifName)):
		stays, instead := r.block(s.data[len(exifName):])
		if !stays {
			s.whole = nil
		}
		if instead != nil {
			s.whole = appSegment(mAPP1, exifName, instead)
		}
	case !isTable(m):
		return r.application(s)
	}
	r.keep = append(r.keep, s.whole)
	return nil
}

func (r *jpegReader) frame(s segment) error {
	if r.frames++; r.frames > 1 {
		return issue.New(issue.Structure, "", "a JPEG of two frames")
	}
	if len(s.data) < 6 {
		return cutOff()
	}
	r.Depth = int(s.data[0])
	r.Height, r.Width = int(binary.BigEndian.Uint16(s.data[1:])), int(binary.BigEndian.Uint16(s.data[3:]))
	switch {
	case s.marker > mSOF0+2:
		return issue.New(issue.UnsupportedType, "", "a lossless, hierarchical or arithmetic JPEG, which viewers do not open")
	case r.Depth != 8:
		return issue.New(issue.UnsupportedType, "", "a JPEG of more than 8 bits a sample, which viewers do not open")
	}
	return nil
}

// application sorts what is neither picture nor EXIF: JFIF (density), the colour profile and Adobe's colour
// transform stay, cut to what their definitions hold.
func (r *jpegReader) application(s segment) error {
	switch m := s.marker; {
	case m == mAPP0 && bytes.HasPrefix(s.data, []byte(jfifName)) && len(s.data) >= jfifLength:
		if len(s.data) > jfifLength {
			r.private("thumbnail")
			fixed := append([]byte{}, s.data[len(jfifName):jfifLength-2]...)
			s.whole = appSegment(mAPP0, jfifName, append(fixed, 0, 0))
		}
	case m == mAPP2 && bytes.HasPrefix(s.data, []byte("ICC_PROFILE\x00")):
		r.ICC = true
		if r.profile += len(s.data); r.profile > mostProfile {
			return issue.New(issue.TooLong, "", "a colour profile larger than any device has")
		}
	case m == mAPP14 && bytes.HasPrefix(s.data, []byte("Adobe")) && len(s.data) >= adobeLength:
		if len(s.data) > adobeLength {
			r.private("application-data")
			s.whole = appSegment(mAPP14, "", s.data[:adobeLength])
		}
	default:
		r.private(applicationName(s))
		return nil
	}
	r.keep = append(r.keep, s.whole)
	return nil
}

// JFIF 1.02 (T.871 §10.1): the length without a thumbnail, whose size is in the last two bytes. Adobe
// (T.872 §6.5.3).
const (
	jfifName    = "JFIF\x00"
	jfifLength  = 14
	adobeLength = 12
)

// applicationName says what a removed segment was.
func applicationName(s segment) string {
	switch {
	case s.marker == mCOM:
		return "comment"
	case s.marker == mAPP0 && bytes.HasPrefix(s.data, []byte("JFXX")):
		return "thumbnail"
	case s.marker == mAPP1 && bytes.HasPrefix(s.data, []byte("http://ns.adobe.com/x")):
		return "xmp" // xap/1.0/ and xmp/extension/
	case s.marker == mAPP2 && bytes.HasPrefix(s.data, []byte("MPF\x00")):
		return "mpf"
	case s.marker == mAPP13:
		return "iptc"
	}
	return "application-data"
}

// appSegment writes a marker segment.
func appSegment(marker byte, name string, data []byte) []byte {
	out := append(make([]byte, 0, 4+len(name)+len(data)), 0xff, marker)
	out = binary.BigEndian.AppendUint16(out, uint16(2+len(name)+len(data)))
	return append(append(out, name...), data...)
}
