package mapping

import "github.com/dermgate/dermgate/mapping/hl7"

// cursor walks the values of a place: over all segments it may stand in and, where it repeats, all its
// repetitions.
type cursor struct {
	p       *place
	run     *run
	here    hl7.Segment // where the scope stands
	given   hl7.Value   // the scope's own value and its place
	givenAt hl7.Path
	current bool // the place is in that value
	seg     hl7.Segment
	rep     int
	reps    int
	all     bool
	started bool
	value   hl7.Value
	whole   hl7.Value // the repetition that value is a part of
	at      hl7.Path  // of whole
	path    hl7.Path  // of value
}

func (p *place) cursor(s *scope, all bool) cursor {
	current := s.field == p.field && p.rep == 0 && !p.every && !p.everywhere && s.on(p.name)
	return cursor{p: p, run: s.run, here: s.seg, given: s.value, givenAt: s.path, current: current, all: all}
}

// next goes to the next valued place; false at the end.
func (c *cursor) next() bool {
	for c.advance() {
		if c.value.Valued() {
			return true
		}
	}
	return false
}

func (c *cursor) advance() bool {
	if c.p.everywhere {
		return c.roam()
	}
	if c.current {
		if c.started {
			return false
		}
		c.started = true
		c.whole, c.at = c.given, c.givenAt
		c.value, c.path = c.p.part(c.whole, c.at)
		return true
	}
	if c.rep >= c.reps {
		if c.seg = c.run.following(c.here, c.p.name, c.seg, c.started); !c.seg.OK() {
			return false
		}
		c.started, c.rep, c.reps = true, 0, 1
		if c.p.rep == 0 && c.all {
			c.reps = c.run.repetitions(c.seg, c.p.field)
		}
		if c.reps == 0 {
			c.value = hl7.Value{}
			return true
		}
	}
	return c.repeat()
}

// roam goes over every segment of the name in the message.
func (c *cursor) roam() bool {
	for c.rep >= c.reps {
		if c.seg = c.run.after(c.p.name, index(c.seg)); !c.seg.OK() {
			return false
		}
		c.rep, c.reps = 0, max(c.run.repetitions(c.seg, c.p.field), 1)
	}
	return c.repeat()
}

// repeat goes to the next repetition in the segment.
func (c *cursor) repeat() bool {
	c.rep++
	n := max(c.p.rep, c.rep)
	c.whole, c.at = c.run.repetition(c.seg, c.p.field, n), c.seg.Path(c.p.field).Repeat(n)
	c.value, c.path = c.p.part(c.whole, c.at)
	return true
}
