package jpeg

import (
	"fmt"
	"slices"

	"github.com/dermgate/dermgate/mapping/issue"
)

// scan is one pass over some components of a picture (T.81 §B.2.3).
type scan struct {
	*reader
	number     int // from 1
	bits       bitReader
	parts      []part
	across     int // MCUs in a row
	down       int // rows of them
	start, end int // of the coefficients that it brings
	low        int // the lowest bit that it brings of them
	block      func(*scan, *part, *[64]int16, *uint64) bool
	interval   int // MCUs from one restart marker to the next; 0: none
	left       int // of them
	restarts   int
	skip       int // blocks that nothing more comes of (EOBRUN)
}

// part is a component in a scan.
type part struct {
	index  int // in the frame
	h, v   int // blocks in an MCU
	dc, ac *huffman
	last   int // DC coefficient of the block before
}

// scanHeader reads an SOS segment.
func (r *reader) scanHeader(data []byte) (*scan, error) {
	if r.scans++; r.scans > r.lim.Scans {
		return nil, issue.New(issue.TooLong, "", "a JPEG in more scans than any camera writes")
	}
	if len(data) < 1 || data[0] < 1 || data[0] > 4 || len(data) != 4+2*int(data[0]) {
		return nil, r.brokenScan("a broken header")
	}
	if !r.framed {
		return nil, broken("with a scan before its frame")
	}
	n := int(data[0])
	s := &scan{reader: r, number: r.scans, start: int(data[1+2*n]), end: int(data[2+2*n]), low: int(data[3+2*n] & 15)}
	s.bits, s.interval, s.left = bitReader{b: r.b, pos: r.pos}, r.interval, r.interval
	high := int(data[3+2*n] >> 4)
	blocks := 0
	for i := range n {
		p, err := r.part(data[1+2*i], data[2+2*i])
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s.parts, func(other part) bool { return other.index == p.index }) {
			return nil, r.brokenScan("a component twice")
		}
		s.parts = append(s.parts, p)
		blocks += p.h * p.v
	}
	s.across, s.down = r.mcusAcross(), r.mcusDown()
	if n == 1 {
		p := &s.parts[0]
		c := &r.Components[p.index]
		s.across, s.down, p.h, p.v, blocks = c.Across, c.Down, 1, 1, 1
	}
	if blocks > 10 {
		return nil, r.brokenScan("more than ten blocks in an MCU")
	}
	if err := s.kind(high); err != nil {
		return nil, err
	}
	return s, s.ready(high == 0 || !r.Progressive)
}

func (r *reader) part(id, tables byte) (part, error) {
	if tables>>4 > 3 || tables&15 > 3 {
		return part{}, r.brokenScan("a table that cannot be")
	}
	for i, c := range r.Components {
		if c.ID == id {
			return part{index: i, h: c.H, v: c.V, dc: r.dc[tables>>4], ac: r.ac[tables&15]}, nil
		}
	}
	return part{}, r.brokenScan("a component that the frame has not")
}

// kind chooses how blocks are read, and sees that each bit of each coefficient comes once and in order.
func (s *scan) kind(high int) error {
	if !s.Progressive {
		s.start, s.end, s.low, s.block = 0, blockSize-1, 0, (*scan).sequential
		return s.progress(0)
	}
	switch {
	case s.start > s.end || s.end > 63 || s.low > 13 || high > 0 && high != s.low+1,
		s.start == 0 && s.end > 0, s.start > 0 && len(s.parts) > 1:
		return s.brokenScan("a broken header")
	case s.start == 0 && high == 0:
		s.block = (*scan).firstDC
	case s.start == 0:
		s.block = (*scan).refineDC
	case high == 0:
		s.block = (*scan).firstAC
	default:
		s.block = (*scan).refineAC
	}
	return s.progress(high)
}

// progress notes which bits of which coefficients come.
func (s *scan) progress(high int) error {
	for _, p := range s.parts {
		known := s.known[p.index]
		for k := s.start; k <= s.end; k++ {
			if high == 0 && known[k] >= 0 || high > 0 && int(known[k]) != high {
				return s.brokenScan("coefficients that came already, or not yet")
			}
			known[k] = int8(s.low)
		}
	}
	return nil
}

// ready sees that all tables are there. The quantiser of a component is the one in force at its first scan.
func (s *scan) ready(first bool) error {
	for _, p := range s.parts {
		c := &s.Components[p.index]
		if c.Quant == nil {
			if c.Quant = s.quant[s.chosen[p.index]]; c.Quant == nil {
				return s.brokenScan("no quantiser")
			}
		}
		if s.start == 0 && first && p.dc == nil || s.end > 0 && p.ac == nil {
			return s.brokenScan("no Huffman table")
		}
	}
	return nil
}

func (r *reader) brokenScan(text string) error {
	return broken(fmt.Sprintf("with %s in scan %d", text, r.scans))
}

// band reads what a scan has of a row of MCUs of the picture. Alone, a component has a row of MCUs for each of its rows
// of blocks (T.81 §A.2.2).
func (s *scan) band(row int) error {
	if len(s.parts) > 1 {
		return s.row(row, row)
	}
	rows := s.Components[s.parts[0].index].V
	for y := row * rows; y < min((row+1)*rows, s.down); y++ {
		if err := s.row(y, row); err != nil {
			return err
		}
	}
	return nil
}

// row reads a row of MCUs into the planes, which are those of the picture or of a band.
func (s *scan) row(row, band int) error {
	for x := range s.across {
		if s.interval > 0 {
			if s.left == 0 {
				if err := s.restart(row); err != nil {
					return err
				}
			}
			s.left--
		}
		for i := range s.parts {
			p := &s.parts[i]
			c, plane := &s.Components[p.index], &s.planes[p.index]
			first := row * p.v
			if s.yield != nil {
				first -= band * c.V
			}
			for v := range p.v {
				from := (first+v)*c.stride + x*p.h
				for at := from; at < from+p.h; at++ {
					b := (*[64]int16)(plane.coefs[blockSize*at:])
					if !s.block(s, p, b, &plane.masks[at]) {
						return s.damaged(row)
					}
				}
			}
		}
		if s.bits.overrun() {
			return s.damaged(row)
		}
	}
	return nil
}

// damaged says where the data cannot be read further.
func (s *scan) damaged(row int) error {
	what := "that is damaged"
	if s.bits.toMarker() >= len(s.b) && s.bits.overrun() {
		what = "that is cut off"
	}
	return broken(fmt.Sprintf("%s in scan %d, at row %d of %d", what, s.number, row+1, s.down))
}

// restart passes the next restart marker.
func (s *scan) restart(row int) error {
	at := s.bits.toMarker()
	if at+1 >= len(s.b) || int(s.b[at+1]) != mRST0+s.restarts%8 {
		return broken(fmt.Sprintf("with a restart marker lost in scan %d, at row %d of %d", s.number, row+1, s.down))
	}
	s.bits.reset()
	s.bits.pos = at + 2
	s.restarts++
	s.left, s.skip = s.interval, 0
	for i := range s.parts {
		s.parts[i].last = 0
	}
	return nil
}
