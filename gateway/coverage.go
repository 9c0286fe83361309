package main

import (
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/dermgate/dermgate/mapping"
)

// coverage is which rules of a map set the cases have run.
type coverage struct {
	Rules int            `json:"rules"`
	Run   int            `json:"run"`
	Files []fileCoverage `json:"files"`
}

// fileCoverage is one map file's part of it.
type fileCoverage struct {
	File   string    `json:"file"` // "maps/segments/PID[Patient].yaml" of the shipped ones, a site's by its path
	Rules  int       `json:"rules"`
	Run    int       `json:"run"`
	Missed []missing `json:"missed"`
	layer  int
}

// missing is a rule that no case runs.
type missing struct {
	Line int    `json:"line"`
	Col  int    `json:"col"`
	Rule string `json:"rule"`
}

// layers of loadMaps.
const (
	shippedLayer = iota
	siteLayer
)

// covered counts the rules from a layer on; folder is where the site's are.
func covered(set *mapping.Set, ran *mapping.Coverage, from int, folder string) coverage {
	c := coverage{Files: []fileCoverage{}}
	for _, r := range set.Rules() {
		if r.Layer < from {
			continue
		}
		name := "maps/" + r.File
		if r.Layer == siteLayer {
			name = filepath.Join(folder, filepath.FromSlash(r.File))
		}
		if n := len(c.Files); n == 0 || c.Files[n-1].File != name || c.Files[n-1].layer != r.Layer {
			c.Files = append(c.Files, fileCoverage{File: name, Missed: []missing{}, layer: r.Layer})
		}
		f := &c.Files[len(c.Files)-1]
		c.Rules++
		f.Rules++
		if ran.Has(r) {
			c.Run++
			f.Run++
			continue
		}
		f.Missed = append(f.Missed, missing{r.Line, r.Col, r.Text})
	}
	return c
}

// percent is rounded down: 100 means all.
func (c coverage) percent() int {
	if c.Rules == 0 {
		return 100
	}
	return 100 * c.Run / c.Rules
}

// print gives a line for each file, one for each rule that no case runs, and the sum.
func (c coverage) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	for _, f := range c.Files {
		fmt.Fprintf(w, "%s\t%d/%d\n", f.File, f.Run, f.Rules)
	}
	w.Flush()
	for _, f := range c.Files {
		for _, m := range f.Missed {
			fmt.Fprintf(out, "%s:%d:%d: no case runs %s\n", f.File, m.Line, m.Col, m.Rule)
		}
	}
	fmt.Fprintf(out, "%d of %d rules run, %d %%\n", c.Run, c.Rules, c.percent())
}
