package image

import (
	"bytes"
	"encoding/binary"

	"github.com/dermgate/dermgate/mapping/issue"
)

// segment is one marker segment of a JPEG (ITU-T T.81 Annex B). An SOS has its entropy-coded data with it.
type segment struct {
	marker byte
	whole  section // from the marker's 0xFF on
	data   section // what follows the length
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
func walkJPEG(b section, visit func(segment) error) (end, stray int64, err error) {
	for i := int64(2); ; {
		k := b.index(i, 0xff)
		if k < 0 {
			return 0, 0, cutOff()
		}
		stray += k - i
		m, ok := b.byteAt(k)
		for i = k; ok && m == 0xff; m, ok = b.byteAt(i) { // any number of fill bytes (B.1.1.2)
			i++
		}
		if !ok {
			return 0, 0, cutOff()
		}
		s := segment{marker: m}
		start := i - 1
		i++
		switch {
		case m == 0 || m == mTEM || m >= mRST0 && m <= mRST7:
			stray += 2 // outside entropy-coded data these mean nothing
			continue
		case m == mSOI:
			return 0, 0, issue.New(issue.Structure, "", "a JPEG that begins anew inside itself")
		case m == mEOI:
			s.whole = b.part(start, 2)
			return i, stray, visit(s)
		}
		size := b.bytes(i, 2)
		if size == nil {
			return 0, 0, cutOff()
		}
		length := int64(binary.BigEndian.Uint16(size))
		if length < 2 || i+length > b.n {
			return 0, 0, cutOff()
		}
		s.data = b.part(i+2, length-2)
		i += length
		if m == mSOS {
			i = scanEnd(b, i)
		}
		s.whole = b.part(start, i-start)
		if err := visit(s); err != nil {
			return 0, 0, err
		}
	}
}

// scanEnd gives the end of entropy-coded data: the next marker that is no restart and no stuffed zero.
func scanEnd(b section, i int64) int64 {
	for {
		if i = b.index(i, 0xff); i < 0 {
			return b.n
		}
		switch next, ok := b.byteAt(i + 1); {
		case !ok:
			return b.n
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
}

func (a *anatomy) jpeg(b section) error {
	r := jpegReader{anatomy: a}
	a.keep(b.part(0, 2))
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
	if end < b.n {
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
	case m == mAPP1 && s.data.begins(exifName):
		stays, instead := r.block(s.data.rest(int64(len(exifName))))
		if instead != nil {
			r.write(appSegment(mAPP1, exifName, instead))
		}
		if !stays {
			return nil
		}
	case !isTable(m):
		return r.application(s)
	}
	r.keep(s.whole)
	return nil
}

func (r *jpegReader) frame(s segment) error {
	if r.frames++; r.frames > 1 {
		return issue.New(issue.Structure, "", "a JPEG of two frames")
	}
	b := s.data.bytes(0, 6)
	if b == nil {
		return cutOff()
	}
	r.Depth = int(b[0])
	r.Height, r.Width = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
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
	case m == mAPP0 && s.data.n > jfifLength && s.data.begins(jfifName):
		r.private("thumbnail")
		r.write(appSegment(mAPP0, "", append(bytes.Clone(s.data.bytes(0, jfifLength-2)), 0, 0)))
		return nil
	case m == mAPP0 && s.data.n == jfifLength && s.data.begins(jfifName):
	case m == mAPP2 && s.data.begins(iccName):
		r.ICC = true
		if err := r.icc.add(s.data.rest(min(s.data.n, iccHeader))); err != nil {
			return err
		}
	case m == mAPP14 && s.data.n > adobeLength && s.data.begins("Adobe"):
		r.private("application-data")
		r.write(appSegment(mAPP14, "", s.data.bytes(0, adobeLength)))
		return nil
	case m == mAPP14 && s.data.n == adobeLength && s.data.begins("Adobe"):
	default:
		r.private(applicationName(s))
		return nil
	}
	r.keep(s.whole)
	return nil
}

// JFIF 1.02 (T.871 §10.1): the length without a thumbnail, whose size is in the last two bytes. Adobe
// (T.872 §6.5.3).
const (
	jfifName    = "JFIF\x00"
	jfifLength  = 14
	adobeLength = 12
	iccName     = "ICC_PROFILE\x00" // then the number of the part and that of all (ICC.1 annex B.4)
	iccHeader   = 14
)

// applicationName says what a removed segment was.
func applicationName(s segment) string {
	switch {
	case s.marker == mCOM:
		return "comment"
	case s.marker == mAPP0 && s.data.begins("JFXX"):
		return "thumbnail"
	case s.marker == mAPP1 && s.data.begins("http://ns.adobe.com/x"):
		return "xmp" // xap/1.0/ and xmp/extension/
	case s.marker == mAPP2 && s.data.begins("MPF\x00"):
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
