package hl7

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/dermgate/dermgate/mapping/issue"
)

func (j *judge) tooLong(path Path, most int) {
	j.find(j.p.Length, issue.TooLong, path.String(), "longer than "+strconv.Itoa(most)+" characters")
}

// lengthGiven tells whether the site states a length for a place itself.
func (j *judge) lengthGiven(p Path) bool {
	for _, l := range j.p.Lengths {
		if l.At.seg == p.seg && l.At.field == p.field && l.At.comp == p.comp && l.At.sub == p.sub {
			return true
		}
	}
	return false
}

// lengths holds the places the site states a length for against it, in every segment and repetition.
func (j *judge) lengths() {
	for i := range j.m.segs {
		s := j.m.segment(i)
		for _, l := range j.p.Lengths {
			if l.At.seg == s.entry().name {
				j.limit(s, l)
			}
		}
	}
}

func (j *judge) limit(s Segment, l Limit) {
	at := s.Path(l.At.Field()).Part(l.At.Component(), l.At.Subcomponent())
	for n, v := range s.Field(l.At.Field()).EachRepetition() {
		if l.At.comp > 0 {
			v = v.Component(l.At.Component())
		}
		if l.At.sub > 0 {
			v = v.Subcomponent(l.At.Subcomponent())
		}
		if n > 1 {
			at = at.Repeat(n)
		}
		if len(v.Raw()) > l.Characters && v.characters() > l.Characters {
			j.tooLong(at, l.Characters)
		}
	}
}

// characters counts those of a value: delimiters as they stand, an escape sequence as what it means.
func (v Value) characters() int {
	raw := v.Raw()
	if d := v.m.del.Escape; d != 0 && bytes.IndexByte(raw, d) >= 0 {
		return utf8.RuneCountInString(v.Text())
	}
	if v.m.set.kind == singleByte {
		return len(raw)
	}
	return utf8.RuneCount(raw)
}
