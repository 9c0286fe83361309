package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Fault is one mistake in a configuration file, at the place to mend. It names keys and rules, never the
// value of a secret.
type Fault struct {
	File string `json:"file"`
	Line int    `json:"line"` // 1-based
	Col  int    `json:"col"`  // 1-based, in characters
	Text string `json:"text"`
}

// Error gives "file:line:col: text".
func (f *Fault) Error() string { return fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Col, f.Text) }

// Faults are all the mistakes found, in the order of the file.
type Faults []*Fault

// Error gives one fault a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Err gives the faults as an error, nil when there are none.
func (fs Faults) Err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

func (fs Faults) sort() {
	slices.SortStableFunc(fs, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}

// meant proposes the known word nearest to a misspelt one, or lists what is known when none is near.
func meant(word string, known []string) string {
	if near := issue.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known here: " + strings.Join(known, ", ")
}
