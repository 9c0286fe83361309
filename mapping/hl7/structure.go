package hl7

import "slices"

// Owner gives the index of the segment that segment i belongs to, -1 when it stands for itself: an OBX
// belongs to the OBR (or SPM, TXA) before it, a NTE to the segment it comments, a CTD to its PRD, a PV2 to
// its PV1. The grammar of the message's type decides, where there is one (messages.txt) and the segment fits
// it; else rules that hold for every message type of the standard that has such groups (OML, DFT, …), where
// a new PID ends the groups of the patient before.
func (m *Message) Owner(i int) int {
	if i < 0 || i >= len(m.segs) {
		return -1
	}
	return int(m.Groups()[i])
}

// Groups gives the owner of every segment at once, in one pass; the slice is shared and not to be changed.
func (m *Message) Groups() []int32 {
	if g := m.owners.Load(); g != nil {
		return *g
	}
	g := m.group()
	m.owners.Store(&g)
	return g
}

// parents of a segment, by name: it belongs to the latest one of them before it.
func parents(n name) [3]name {
	switch n {
	case obx:
		return [3]name{obr, spm, txa}
	case ctd:
		return [3]name{prd, aut, obr}
	case obr:
		return [3]name{orc}
	case tq1:
		return [3]name{orc, obr}
	case spm, dg1:
		return [3]name{obr}
	case aut:
		return [3]name{pr1}
	case pd1, mrg:
		return [3]name{pid}
	case pv2:
		return [3]name{pv1}
	case in2, in3:
		return [3]name{in1}
	case ais, aig, ail, aip:
		return [3]name{rgs}
	}
	return [3]name{}
}

// MayBelongTo tells whether segments of this one's name can belong to those of another's, as OBX to OBR.
func (s Segment) MayBelongTo(other Segment) bool {
	if s.m == nil || other.m == nil {
		return false
	}
	p := parents(s.entry().name)
	return slices.Contains(p[:], other.entry().name)
}

// latest remembers where the last segment of each name that owns others stands, -1 for none.
type latest [11]int32

func (l *latest) clear() {
	for i := range l {
		l[i] = -1
	}
}

// of gives the place for a name; a spare one for a name that owns nothing.
func (l *latest) of(n name, spare *int32) *int32 {
	for i, p := range [len(l)]name{pid, pv1, orc, obr, spm, txa, prd, aut, pr1, in1, rgs} {
		if p == n {
			return &l[i]
		}
	}
	*spare = -1
	return spare
}

func (m *Message) group() []int32 {
	owners := make([]int32, len(m.segs))
	var plain generic
	plain.last.clear()
	plain.commented = -1
	f := fitting{s: m.structure()}
	for i := range m.segs {
		owners[i] = plain.take(m.segs[i].name, int32(i))
		if f.s == nil || m.segs[i].name.local() {
			continue
		}
		if owner, fits := f.take(m, int32(i)); fits {
			owners[i] = owner
		}
	}
	return owners
}

// generic are the rules for a message, or a segment, that no grammar covers.
type generic struct {
	last      latest
	commented int32 // the latest segment a NTE can belong to
}

func (g *generic) take(n name, i int32) int32 {
	var spare int32
	switch n {
	case nte:
		return g.commented
	case pid:
		g.last.clear() // the next patient
	case orc:
		*g.last.of(obr, &spare) = -1 // a new order
	case obr:
		*g.last.of(spm, &spare) = -1
	}
	owner := int32(-1)
	for _, p := range parents(n) {
		owner = max(owner, *g.last.of(p, &spare))
	}
	if n == obr {
		*g.last.of(orc, &spare) = -1 // an ORC orders one OBR
	}
	*g.last.of(n, &spare) = i
	g.commented = i
	return owner
}
