package hl7

import (
	"bytes"
	"iter"
)

// The trailers of an envelope.
const (
	bts = name('B')<<16 | name('T')<<8 | name('S')
	fts = name('F')<<16 | name('T')<<8 | name('S')
)

// line is one line of a batch that is not blank.
type line struct {
	kind       name // MSH, FHS, BHS, BTS or FTS; 0 for any other
	start, end int  // without MLLP bytes and terminator
	next       int  // behind its own terminator
	number     int  // from 1, blank lines counted
}

// linesOf walks the lines of a batch, by the same tolerance as Parse. A header starts a line, with a field
// separator met before or with encoding characters that make it one; a trailer, with a separator met before.
func linesOf(b []byte) iter.Seq[line] {
	return func(yield func(line) bool) {
		var separators [256]bool
		cr, lf := lineEnds{c: '\r'}, lineEnds{c: '\n'}
		pos, met := 0, false
		if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
			pos = 3
		}
		for number := 1; pos < len(b); number++ {
			end := min(cr.next(b, pos), lf.next(b, pos))
			l := trimmed(b, pos, end)
			if end+1 < len(b) && b[end] == '\r' && b[end+1] == '\n' {
				end++
			}
			if pos = end + 1; l.start == l.end || blank(b[l.start:l.end]) {
				continue
			}
			if !met { // what Parse passes over before the first segment
				for filler(b[l.start]) {
					l.start++
				}
			}
			l.number, l.kind = number, kindOf(b[l.start:l.end], &separators, !met)
			if met = true; l.kind.header() && l.end-l.start > 3 {
				separators[b[l.start+3]] = true
			}
			if !yield(l) {
				return
			}
		}
	}
}

// trimmed gives the line from start to end without MLLP bytes; only when none are behind it does its
// terminator follow.
func trimmed(b []byte, start, end int) line {
	l := line{start: start, end: end, next: end}
	for l.start < l.end && (b[l.start] == 0x0b || b[l.start] == 0x1c) {
		l.start++
	}
	for l.end > l.start && b[l.end-1] == 0x1c {
		l.end--
	}
	switch l.next = l.end; {
	case l.end < end || end == len(b):
	case b[end] == '\r' && end+1 < len(b) && b[end+1] == '\n':
		l.next = end + 2
	default:
		l.next = end + 1
	}
	return l
}

// kindOf tells what a line starts. The first one is taken by its name alone.
func kindOf(raw []byte, separators *[256]bool, first bool) name {
	n := nameOf(raw, 0)
	trailer := n == bts || n == fts
	switch {
	case !n.header() && !trailer:
		return 0
	case len(raw) == 3:
		return n
	case separators[raw[3]], !trailer && (first || heads(raw)):
		return n
	}
	return 0
}

// heads tells whether a line, by its own delimiters, is a header segment and not text that begins like one:
// at least three encoding characters and then the field separator again.
func heads(raw []byte) bool {
	d, err := delimiters(raw)
	n := len(d.encoding())
	return err == nil && d.Escape != 0 && len(raw) > 4+n && raw[4+n] == d.Field
}
