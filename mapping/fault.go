package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Fault is one thing wrong with a map file.
type Fault struct {
	File  string `json:"file"` // "maps/segments/PID[Patient].yaml"
	Line  int    `json:"line"` // from 1
	Col   int    `json:"col"`  // from 1
	Text  string `json:"text"`
	Layer int    `json:"-"`              // which of Load's arguments has the file, from 0
	Note  bool   `json:"note,omitempty"` // no fault: what is at work, and may not be meant
}

// Error gives "file:line:col: text".
func (f *Fault) Error() string {
	text := f.Text
	if f.Note {
		text = "note: " + text
	}
	return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Col, text)
}

// Faults are all the faults found in one Load, by file, line and column.
type Faults []*Fault

// Error joins the faults, one a line.
func (l Faults) Error() string {
	texts := make([]string, len(l))
	for i, f := range l {
		texts[i] = f.Error()
	}
	return strings.Join(texts, "\n")
}

func (l Faults) sorted() Faults {
	slices.SortStableFunc(l, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.CompactFunc(l, func(a, b *Fault) bool { return *a == *b })
}

// pos is a place in a map file.
type pos struct {
	file      string
	line, col int
	layer     int // of Load's arguments, from 0
}

// plus moves n characters to the right.
func (p pos) plus(n int) pos { p.col += n; return p }

// String gives "maps/segments/PID[Patient].yaml:12:3", the form traces use.
func (p pos) String() string {
	b := append(append(make([]byte, 0, 64), "maps/"...), p.file...)
	b = strconv.AppendInt(append(b, ':'), int64(p.line), 10)
	return string(strconv.AppendInt(append(b, ':'), int64(p.col), 10))
}

// seen is String for whoever reads it in another file: that a place is in a shipped map cannot be told from its name.
func (p pos) seen(from pos) string {
	if p.layer == 0 && from.layer > 0 {
		return p.String() + " of the shipped maps"
	}
	return p.String()
}

// faults collects what is wrong while loading goes on, and what is only worth knowing.
type faults struct{ list, notes Faults }

func (f *faults) add(at pos, format string, args ...any) {
	f.list = append(f.list, &Fault{File: "maps/" + at.file, Line: at.line, Col: at.col, Text: fmt.Sprintf(format, args...), Layer: at.layer})
}

// has tells whether a file has a fault.
func (f *faults) has(file string, layer int) bool {
	return slices.ContainsFunc(f.list, func(x *Fault) bool { return x.File == "maps/"+file && x.Layer == layer })
}

// note tells what is at work and may not be meant.
func (f *faults) note(at pos, format string, args ...any) {
	f.notes = append(f.notes, &Fault{File: "maps/" + at.file, Line: at.line, Col: at.col, Text: fmt.Sprintf(format, args...), Layer: at.layer, Note: true})
}

// meant gives `; did you mean "x"?` when one of the known words is near, else "".
func meant(word string, known []string) string {
	if near := issue.Nearest(word, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
