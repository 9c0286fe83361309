package hl7

// fitting walks a message along the grammar of its type, one segment after another. It remembers only the
// groups that are open, so that its memory does not grow with the message.
//
// A segment goes to the nearest place ahead of the last one that does not pass over a required segment: in
// the same group, in the next instance of it, then in the groups around it. Failing that, the message lacks
// segments or is in another order than the grammar, which is reported, and what follows is read from there.
type fitting struct {
	s     *structure
	at    int16 // the place of the last segment that fitted
	cells [maxNodes]seen
	tell  func(misfit) // nil: nobody asks
	odd   int          // segments that did not fit
}

// maxOdd is how many segments may not fit before the rest of a message is no longer sought a place for: it has
// another structure, and each search costs as much as many that fit.
const maxOdd = 1000

// seen is what has been seen at a place in the open instance of its group.
type seen struct {
	last  int32  // index of the latest segment; of a group, the segment that began its instance
	count uint32 // segments, or instances of the group
}

// misfit is one difference from the grammar.
type misfit struct {
	what    misfitKind
	segment int32 // index; of missing: the one that began the group, -1 none
	name    name  // of missing
	after   int32 // index of the segment before, for unexpected
	group   string
}

type misfitKind uint8

const (
	unexpected misfitKind = iota
	tooMany
	missing
)

// take finds the place of segment i and tells whose it is: fits is false where the grammar has no place for
// it, and the owner is then unknown.
func (f *fitting) take(m *Message, i int32) (owner int32, fits bool) {
	n := m.segs[i].name
	if i == 0 {
		f.begin(1, i)
		return -1, true
	}
	var at int16
	var moved bool
	if f.odd < maxOdd {
		at, moved = f.place(m, n, i)
	}
	switch {
	case at == 0:
		f.report(misfit{what: unexpected, segment: i, after: f.cells[f.at].last})
		return -1, false
	case moved:
		f.report(misfit{what: unexpected, segment: i, after: f.cells[f.at].last})
	}
	if !f.free(at) {
		if g := f.repeating(at); g > 0 {
			f.again(g, i)
		} else {
			f.report(misfit{what: tooMany, segment: i})
		}
	}
	f.begin(at, i)
	return f.owner(at), true
}

// place finds where a segment goes, 0 for nowhere; moved tells that it stands after what it should precede. A
// note is never sought where it does not stand: it comments what it follows.
func (f *fitting) place(m *Message, n name, i int32) (at int16, moved bool) {
	if at = f.ahead(m, i, true, true); at != 0 || n == nte {
		return at, false
	}
	if at = f.beside(n); at != 0 {
		return at, true
	}
	if at = f.ahead(m, i, false, false); at != 0 {
		return at, false
	}
	if at = f.behind(n, f.free); at != 0 {
		return at, true
	}
	if at = f.ahead(m, i, false, true); at != 0 {
		return at, false
	}
	if at = f.behind(n, func(at int16) bool { return f.repeating(at) > 0 }); at != 0 {
		return at, true
	}
	return f.behind(n, func(int16) bool { return true }), false
}

// free tells whether a place can take one more segment in the open instance of its group.
func (f *fitting) free(at int16) bool { return f.cells[at].count == 0 || f.s.nodes[at].repeats }

// ahead looks forward for a segment, from the innermost open group outwards; strictly: without passing over
// a required segment; anew: in a new instance of an open group too, which is then begun.
func (f *fitting) ahead(m *Message, i int32, strict, anew bool) int16 {
	nodes, n := f.s.nodes, m.segs[i].name
	if here := &nodes[f.at]; here.repeats && here.is(n) {
		return f.at
	}
	child := f.at
	for g := nodes[child].parent; g >= 0; child, g = g, nodes[g].parent {
		if at := f.scan(n, nodes[child].end, g, strict); at != 0 && !f.strands(m, i, nodes[child].end, at) {
			return at
		}
		if !anew || !nodes[g].repeats {
			continue
		}
		if at := f.scan(n, g+1, g, strict); at != 0 {
			f.again(g, i)
			return at
		}
	}
	return 0
}

// scan looks for a segment in group g from a place on; from its first, a new instance is meant.
func (f *fitting) scan(n name, from, g int16, strict bool) int16 {
	nodes, anew := f.s.nodes, from == g+1
	for i, end := from, nodes[g].end; i < end; {
		at := &nodes[i]
		fresh := anew || f.cells[i].count == 0
		switch {
		case at.group():
			i++
		case at.is(n) && (fresh || at.repeats || f.repeating(i) > g):
			return i
		case strict && !at.optional && fresh:
			if at.mayLack <= g {
				return 0
			}
			i = nodes[at.mayLack].end
		default:
			i++
		}
	}
	return 0
}

// strands tells whether a note would jump over the place of the segment that follows it: such a note stands
// where the grammar has none, and is not the one at the message's end.
func (f *fitting) strands(m *Message, i int32, from, to int16) bool {
	nodes := f.s.nodes
	if home := nodes[to].parent; m.segs[i].name != nte || home > 0 && home == nodes[f.at].parent {
		return false
	}
	const far = 8 // notes in a row
	j := i + 1
	for int(j) < len(m.segs) && j <= i+far && (m.segs[j].name == nte || m.segs[j].name.local()) {
		j++
	}
	if int(j) == len(m.segs) {
		return false
	}
	for k := from; k < to; k++ {
		if nodes[k].is(m.segs[j].name) {
			return true
		}
	}
	return false
}

// begin takes a segment in at its place, beginning the groups around it.
func (f *fitting) begin(at int16, i int32) {
	for g := f.s.nodes[at].parent; g >= 0 && f.cells[g].count == 0; g = f.s.nodes[g].parent {
		f.cells[g] = seen{i, 1}
	}
	f.cells[at] = seen{i, f.cells[at].count + 1}
	f.at = at
}

// again ends the open instance of a group and begins the next.
func (f *fitting) again(g int16, i int32) {
	f.end(g)
	clear(f.cells[g+1 : f.s.nodes[g].end])
	f.cells[g] = seen{i, f.cells[g].count + 1}
}

// end reports what the open instance of a group lacks.
func (f *fitting) end(g int16) {
	if f.tell == nil {
		return
	}
	nodes := f.s.nodes
	for i := g + 1; i < nodes[g].end; i = nodes[i].end {
		switch at := &nodes[i]; {
		case f.cells[i].count == 0 && at.optional:
		case at.group():
			f.end(i)
		case f.cells[i].count == 0 && f.cells[g].count == 0:
			f.tell(misfit{what: missing, name: at.names[0], segment: -1, group: f.named(g)})
		case f.cells[i].count == 0:
			f.tell(misfit{what: missing, name: at.names[0], segment: f.cells[g].last, group: f.named(g)})
		}
	}
}

// named gives the label of a group, or of the one around it.
func (f *fitting) named(g int16) string {
	for f.s.nodes[g].label == "" {
		g = f.s.nodes[g].parent
	}
	return f.s.nodes[g].label
}

func (f *fitting) report(m misfit) {
	f.odd++
	if f.tell != nil {
		f.tell(m)
	}
}

// behind finds the nearest place for a segment anywhere that is good.
func (f *fitting) behind(n name, good func(at int16) bool) int16 {
	nodes := f.s.nodes
	for g := nodes[f.at].parent; g >= 0; g = nodes[g].parent {
		for i := g + 1; i < nodes[g].end; i++ {
			if nodes[i].is(n) && good(i) {
				return i
			}
		}
	}
	return 0
}

// beside finds a free place earlier in the innermost open group: the segments of one group in another order.
func (f *fitting) beside(n name) int16 {
	nodes := f.s.nodes
	g := nodes[f.at].parent
	if g == 0 {
		return 0
	}
	for i := g + 1; i < f.at; i = nodes[i].end {
		if nodes[i].is(n) && f.free(i) {
			return i
		}
	}
	return 0
}

// repeating gives the innermost repeating group around a place, 0 for none.
func (f *fitting) repeating(at int16) int16 {
	g := f.s.nodes[at].parent
	for g > 0 && !f.s.nodes[g].repeats {
		g = f.s.nodes[g].parent
	}
	return max(g, 0)
}

// owner gives the segment that owns a place: the latest before it that owns, in its group or those around it.
// A note on the whole message belongs to MSH.
func (f *fitting) owner(at int16) int32 {
	nodes, child := f.s.nodes, at
	for g := nodes[at].parent; g >= 0 && !nodes[child].apart; child, g = g, nodes[g].parent {
		owner := int32(-1)
		for i := g + 1; i < child; i = nodes[i].end {
			if nodes[i].owns && f.cells[i].count > 0 {
				owner = f.cells[i].last
			}
		}
		if owner >= 0 {
			return owner
		}
	}
	if nodes[at].is(nte) {
		return 0
	}
	return -1
}
