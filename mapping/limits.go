package mapping

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// lineLimit gives how many characters of a line go into one segment of a group; 0 for any number.
func (w *writing) lineLimit(g *outGroup) int {
	for _, p := range g.maps {
		for _, r := range p.rules {
			if r.value.reading("line") && r.to.segment != "" {
				return w.limit(r.to)
			}
		}
	}
	return 0
}

// limit gives the characters that a place takes at this destination, 0 for any number.
func (w *writing) limit(p place) int {
	for _, l := range w.o.Limits {
		if at := l.At; at.Segment() == p.segment && at.Field() == p.field && max(at.Component(), 1) == max(p.comp, 1) {
			return l.Characters
		}
	}
	if w.o.Lengths {
		return w.version.Length(p.segment, p.field, 0, 0)
	}
	return 0
}

// pieces splits a line so that each piece takes at most n characters: behind a space where there is one. Joined they are
// the line.
func pieces(line string, n int) []string {
	var out []string
	for n > 0 && utf8.RuneCountInString(line) > n {
		end, space, seen := 0, 0, 0
		for i, c := range line {
			if seen == n {
				end = i
				break
			}
			if seen++; unicode.IsSpace(c) {
				space = i + utf8.RuneLen(c)
			}
		}
		if space > 0 {
			end = space
		}
		out, line = append(out, line[:end]), line[end:]
	}
	return append(out, line)
}

// lines gives the lines of a text as the segments of a group take them.
func (w *writing) lines(g *outGroup, text string) []string {
	var out []string
	n := w.lineLimit(g)
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n") {
		out = append(out, pieces(line, n)...)
	}
	return out
}

// tooLong finds what is longer than the destination takes: nothing is ever cut. Files are not counted.
func (w *writing) tooLong(text []byte) (issue.List, error) {
	if len(w.o.Limits) == 0 && !w.o.Lengths {
		return nil, nil
	}
	m, err := hl7.ParseIn(text, w.o.Charset)
	if err != nil {
		return nil, err
	}
	found := m.Longer(w.o.Limits)
	if w.o.Lengths {
		found = append(found, w.version.Longer(m, w.o.Limits)...)
	}
	return slices.DeleteFunc(found, func(i *issue.Issue) bool { return isFile(m, i.Where) }), nil
}

// isFile tells an OBX-5 that holds a file.
func isFile(m *hl7.Message, where string) bool {
	p, err := hl7.ParsePath(where)
	if err != nil || p.Segment() != "OBX" || p.Field() != 5 {
		return false
	}
	return m.Find("OBX", max(p.Occurrence(), 1)).Field(2).Text() == "ED"
}
