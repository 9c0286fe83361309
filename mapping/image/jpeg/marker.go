package jpeg

import (
	"bytes"
	"encoding/binary"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Markers (T.81 table B.1).
const (
	mSOF0, mSOF1, mSOF2, mSOF3 = 0xc0, 0xc1, 0xc2, 0xc3
	mDHT, mSOF9, mDAC, mSOF15  = 0xc4, 0xc9, 0xcc, 0xcf
	mRST0, mRST7               = 0xd0, 0xd7
	mSOI, mEOI, mSOS, mDQT     = 0xd8, 0xd9, 0xda, 0xdb
	mDNL, mDRI, mDHP, mEXP     = 0xdc, 0xdd, 0xde, 0xdf
	mAPP0, mAPP14, mAPP15      = 0xe0, 0xee, 0xef
	mCOM, mTEM                 = 0xfe, 0x01
)

// mostSegments is how many a picture may have beside those of its scans: the metadata of one photo can be in
// a few hundred segments of 64 KiB.
const mostSegments = 2000

// reader reads the segments of a JPEG.
type reader struct {
	Header
	b        []byte
	pos      int
	lim      Limits
	segments int
	scans    int
	framed   bool
	interval int // MCUs from one restart marker to the next; 0: none
	quant    [4]*[64]uint16
	dc, ac   [4]*huffman
	chosen   [4]byte           // of each component: which quantiser it takes
	known    []*[64]int8       // of each component in a progressive picture: of each coefficient, the lowest bit that has come; -1: none
	planes   []Plane           // of the whole picture, or of one band
	yield    func(*Band) error // if there, planes are of one band
}

func newReader(b []byte, lim Limits) (*reader, error) {
	if len(b) < 2 || b[0] != 0xff || b[1] != mSOI {
		return nil, broken("that does not begin as one")
	}
	r := &reader{b: b, pos: 2, lim: lim.withDefaults()}
	r.Adobe = -1
	return r, nil
}

// next gives the next marker and the data of its segment. Bytes between segments are passed over, as all
// viewers do; those of a scan are between its segment and the next.
func (r *reader) next() (marker byte, data []byte, err error) {
	for {
		if k := bytes.IndexByte(r.b[r.pos:], 0xff); k < 0 {
			r.pos = len(r.b)
		} else {
			r.pos += k
		}
		for r.pos < len(r.b) && r.b[r.pos] == 0xff {
			r.pos++
		}
		if r.pos >= len(r.b) {
			return 0, nil, errCutOff
		}
		marker = r.b[r.pos]
		r.pos++
		switch {
		case marker == 0 || marker == mTEM || marker >= mRST0 && marker <= mRST7:
			continue
		case marker == mSOI:
			return 0, nil, broken("that begins anew inside itself")
		case marker == mEOI:
			return marker, nil, nil
		}
		if r.pos+2 > len(r.b) {
			return 0, nil, errCutOff
		}
		length := int(binary.BigEndian.Uint16(r.b[r.pos:]))
		if length < 2 || r.pos+length > len(r.b) {
			return 0, nil, errCutOff
		}
		data = r.b[r.pos+2 : r.pos+length]
		r.pos += length
		return marker, data, nil
	}
}

// segment reads any segment but those of scans.
func (r *reader) segment(marker byte, data []byte) error {
	if r.segments++; r.segments > mostSegments+8*r.scans {
		return issue.New(issue.TooLong, "", "a JPEG in more segments than any camera writes")
	}
	switch {
	case marker == mDQT:
		return r.quantisers(data)
	case marker == mDHT:
		return r.tables(data)
	case marker == mDRI:
		if len(data) != 2 {
			return broken("with a wrong restart interval")
		}
		r.interval = int(binary.BigEndian.Uint16(data))
	case marker >= mSOF0 && marker <= mSOF15 && marker != mDAC && marker != 0xc8:
		return r.frame(marker, data)
	case marker == mDAC:
		return refused("an arithmetic-coded JPEG, which viewers do not open")
	case marker == mDNL:
		return refused("a JPEG that tells its height at the end, which viewers do not open")
	case marker == mDHP || marker == mEXP:
		return refused("a hierarchical JPEG, which viewers do not open")
	case marker >= mAPP0 && marker <= mAPP15 || marker == mCOM:
		if marker == mAPP14 && len(data) >= 12 && string(data[:5]) == "Adobe" {
			r.Adobe = int(data[11])
		}
		whole := r.b[r.pos-len(data)-4 : r.pos : r.pos]
		r.Segments = append(r.Segments, whole)
	}
	return nil // other segments are reserved, and mean nothing
}

// quantisers reads a DQT segment (T.81 §B.2.4.1).
func (r *reader) quantisers(data []byte) error {
	for len(data) > 0 {
		wide, id := data[0]>>4, data[0]&15
		size := blockSize << wide
		if wide > 1 || id > 3 || len(data) < 1+size {
			return broken("with a broken quantiser")
		}
		q := new([64]uint16)
		for i := range q {
			if wide == 1 {
				q[i] = binary.BigEndian.Uint16(data[1+2*i:])
			} else {
				q[i] = uint16(data[1+i])
			}
			if q[i] == 0 {
				return broken("with a quantiser of 0")
			}
		}
		r.quant[id] = q
		data = data[1+size:]
	}
	return nil
}

// tables reads a DHT segment (T.81 §B.2.4.2).
func (r *reader) tables(data []byte) error {
	for len(data) > 0 {
		if len(data) < 17 || data[0]&0xe0 != 0 || data[0]&15 > 3 {
			return broken("with a broken Huffman table")
		}
		counts := [16]byte(data[1:])
		n := 0
		for _, c := range counts {
			n += int(c)
		}
		if n > 256 || len(data) < 17+n {
			return broken("with a broken Huffman table")
		}
		h, ok := newHuffman(counts, data[17:17+n])
		if !ok {
			return broken("with a broken Huffman table")
		}
		if data[0]>>4 == 0 {
			r.dc[data[0]&15] = h
		} else {
			r.ac[data[0]&15] = h
		}
		data = data[17+n:]
	}
	return nil
}

// frame reads an SOF segment (T.81 §B.2.2).
func (r *reader) frame(marker byte, data []byte) error {
	switch {
	case r.framed:
		return broken("of two frames")
	case marker > mSOF2 && marker < mSOF9 && marker != mSOF3:
		return refused("a hierarchical JPEG, which viewers do not open")
	case marker == mSOF3:
		return refused("a lossless JPEG, which viewers do not open")
	case marker >= mSOF9:
		return refused("an arithmetic-coded JPEG, which viewers do not open")
	case len(data) < 6 || len(data) != 6+3*int(data[5]):
		return broken("with a broken frame header")
	case data[0] != 8:
		return refused("a JPEG of other than 8 bits a sample, which viewers do not open")
	}
	r.framed, r.Progressive = true, marker == mSOF2
	r.Height, r.Width = int(binary.BigEndian.Uint16(data[1:])), int(binary.BigEndian.Uint16(data[3:]))
	switch n := int(data[5]); {
	case r.Height == 0:
		return refused("a JPEG that tells its height at the end, which viewers do not open")
	case r.Width == 0:
		return broken("without width")
	case n != 1 && n != 3 && n != 4:
		return refused("a JPEG of neither one, three nor four components, which viewers do not open")
	}
	if int64(r.Width)*int64(r.Height) > r.lim.Pixels {
		return issue.New(issue.TooLong, "", "a photo with more pixels than the limit")
	}
	return r.components(data[6:])
}

func (r *reader) components(data []byte) error {
	for i := 0; len(data) > 0; i++ {
		c := Component{ID: data[0], H: int(data[1] >> 4), V: int(data[1] & 15)}
		if c.H < 1 || c.H > 4 || c.V < 1 || c.V > 4 || data[2] > 3 {
			return broken("with a broken frame header")
		}
		for _, other := range r.Components {
			if other.ID == c.ID {
				return broken("with two components of one name")
			}
		}
		r.Components = append(r.Components, c)
		r.chosen[i] = data[2]
		data = data[3:]
	}
	if len(r.Components) == 1 { // sampling is a matter between components
		r.Components[0].H, r.Components[0].V = 1, 1
	}
	r.measure()
	r.known = make([]*[64]int8, len(r.Components))
	for i := range r.known {
		r.known[i] = new([64]int8)
		for k := range r.known[i] {
			r.known[i][k] = -1
		}
	}
	return nil
}
