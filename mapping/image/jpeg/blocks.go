package jpeg

import "math/bits"

// The five ways in which a scan brings the coefficients of a block (T.81 §F.2.2, §G.2). Each tells whether
// what it read was possible; bits that were not there are seen by the caller.

// sequential reads all coefficients of a block.
func (s *scan) sequential(p *part, b *[64]int16, mask *uint64) bool {
	if !s.firstDC(p, b, mask) {
		return false
	}
	m, r, ac := *mask, &s.bits, p.ac
	for k := 1; k < blockSize; k++ {
		if r.n < 32 {
			r.fill()
		}
		e := ac.look[r.acc>>(64-lookBits)]
		run, size := int(e>>12&15), int(e>>8&15)
		switch {
		case e&valued != 0:
			if k += run; k >= blockSize {
				return false
			}
			b[k] = int16(e >> 16)
			m |= 1 << k
			r.skip(int(e&31) + size)
			continue
		case e != 0:
			r.skip(int(e & 31))
		default:
			sym := ac.long(r)
			if sym < 0 {
				return false
			}
			run, size = sym>>4, sym&15
		}
		if size == 0 {
			if run < 15 {
				break
			}
			k += 15
			continue
		}
		if k += run; k >= blockSize {
			return false
		}
		b[k] = int16(r.value(size))
		m |= 1 << k
	}
	*mask = m
	return true
}

// firstDC reads the DC coefficient but for its lowest bits.
func (s *scan) firstDC(p *part, b *[64]int16, mask *uint64) bool {
	size := p.dc.symbol(&s.bits)
	if size < 0 || size > 15 {
		return false
	}
	p.last += s.bits.value(size)
	v := p.last << s.low
	if v != int(int16(v)) {
		return false
	}
	if b[0] = int16(v); v != 0 {
		*mask |= 1
	}
	return true
}

// refineDC reads one more bit of the DC coefficient, which is in two's complement.
func (s *scan) refineDC(_ *part, b *[64]int16, mask *uint64) bool {
	if s.bits.bit() {
		b[0] |= 1 << s.low
		*mask |= 1
	}
	return true
}

// firstAC reads the coefficients of a band but for their lowest bits.
func (s *scan) firstAC(p *part, b *[64]int16, mask *uint64) bool {
	if s.skip > 0 {
		s.skip--
		return true
	}
	for k := s.start; k <= s.end; k++ {
		sym := p.ac.symbol(&s.bits)
		if sym < 0 {
			return false
		}
		run, size := sym>>4, sym&15
		if size == 0 {
			if run < 15 {
				s.skip = 1<<run + s.bits.bits(run) - 1
				return true
			}
			k += 15
			continue
		}
		if k += run; k > s.end {
			return false
		}
		v := s.bits.value(size) << s.low
		if v != int(int16(v)) {
			return false
		}
		b[k] = int16(v)
		*mask |= 1 << k
	}
	return true
}

// refineAC reads one more bit of the coefficients of a band that are not 0, and those that become 1 or -1 in
// the last place.
func (s *scan) refineAC(p *part, b *[64]int16, mask *uint64) bool {
	k := s.start
	for s.skip == 0 && k <= s.end {
		sym := p.ac.symbol(&s.bits)
		if sym < 0 {
			return false
		}
		run, size := sym>>4, sym&15
		fresh := int16(0)
		switch {
		case size > 1:
			return false
		case size == 1:
			if fresh = -1 << s.low; s.bits.bit() {
				fresh = 1 << s.low
			}
		case run < 15:
			s.skip = 1<<run + s.bits.bits(run)
			continue
		}
		if k = s.pass(b, *mask, k, run); k > s.end {
			return size == 0
		}
		if size == 1 {
			b[k] = fresh
			*mask |= 1 << k
		}
		k++
	}
	if s.skip > 0 {
		s.pass(b, *mask, k, blockSize)
		s.skip--
	}
	return true
}

// pass reads the corrections of coefficients that are not 0 from a place on, until it has passed a number of
// zeros and stands at another one, or behind the band.
func (s *scan) pass(b *[64]int16, mask uint64, k, zeros int) int {
	for {
		next := min(bits.TrailingZeros64(mask>>k)+k, s.end+1) // the next one that is not 0
		if next-k > zeros {
			return k + zeros
		}
		zeros -= next - k
		if k = next; k > s.end {
			return k
		}
		if s.bits.bit() {
			if b[k] > 0 {
				b[k] += 1 << s.low
			} else {
				b[k] -= 1 << s.low
			}
		}
		k++
	}
}
