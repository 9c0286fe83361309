package mapping

import "github.com/dermgate/dermgate/mapping/hl7"

// received compiles what of a group's segments goes home as the request had it.
func (c *compiler) received(g *outGroup, src srcGroup) {
	for _, t := range src.received {
		if t.s == g.segment {
			g.whole = true
			continue
		}
		switch p, ok := c.outPlace(t, g.maps[0].src); {
		case !ok:
		case p.rep > 0 || p.comp > 0:
			c.faults.add(t.at, "received names %s or whole fields of it", g.segment)
		default:
			g.fields = append(g.fields, p.field)
		}
	}
}

// copySegments writes the segments of a group's name as the request had them, once; false when it had none.
func (w *writing) copySegments(g *outGroup) bool {
	if w.copied[g.segment] {
		return true
	}
	in := w.o.Received
	if in == nil || in.Count(g.segment) == 0 {
		return false
	}
	for n := 1; n <= in.Count(g.segment); n++ {
		s := in.Find(g.segment, n)
		w.segment, w.begun = g.segment, false
		w.begin()
		for i, field := range s.All() {
			w.b.Copy(i, field)
		}
	}
	w.copied[g.segment] = true
	w.o.Ran.note(g.at)
	return true
}

// copyFields writes fields as the request had them in its segment of the same number, and gives which it had.
func (w *writing) copyFields(g *outGroup) map[int]bool {
	if w.o.Received == nil || len(g.fields) == 0 {
		return nil
	}
	held := map[int]bool{}
	s := w.o.Received.Find(g.segment, w.counts[g.segment]+1)
	for _, n := range g.fields {
		if v := s.Field(n); s.OK() && v.Valued() && v.Presence() != hl7.Null {
			w.begin()
			w.b.Copy(n, v)
			held[n] = true
		}
	}
	return held
}
