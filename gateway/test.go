package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

func testVerb(std stdio) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "test [DIR]",
		Short: "run mapping cases: *.txtar with an input and what must come of it",
		Long: "Run mapping cases. A case is a txtar file with in.hl7 and want.json (the Bundle, indented) and want.issues (a line\n" +
			"each); a part that is absent is not compared. \"(map set)\" stands for the digest of the maps. UPDATE=1 in the environment rewrites what is there.",
		Example: "  gateway test -c gateway.yaml ./maps",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			cfg, err := load(file)
			if err != nil {
				return faults(std, err)
			}
			return runCases(std, cfg, dir)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration whose maps and source rules to use")
	return c
}

func runCases(std stdio, cfg *config.Config, dir string) error {
	set, err := loadMaps(cfg.Maps)
	if err != nil {
		return faults(std, err)
	}
	o, err := mapFlags{}.options(cfg)
	if err != nil {
		return err
	}
	ran, failed := 0, 0
	err = eachCase(set, o, dir, func(c caseRun) error {
		ran++
		if os.Getenv("UPDATE") != "" {
			return c.update()
		}
		if diff := c.diff(); diff != "" {
			failed++
			fmt.Fprintf(std.out, "FAIL %s\n%s", c.path, diff)
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "%d passed, %d failed\n", ran-failed, failed)
	switch {
	case ran == 0:
		return fmt.Errorf("no *.txtar under %s", dir)
	case failed > 0:
		return errFound
	}
	return nil
}

// caseRun is a case and what came of its message.
type caseRun struct {
	path    string // of the file
	archive *txtar.Archive
	got     map[string][]byte // by the name of the part that says what is wanted
}

// eachCase runs every *.txtar below a folder, hidden ones aside.
func eachCase(set *mapping.Set, o mapping.Options, dir string, ran func(caseRun) error) error {
	return siteFiles(dir, func(path string) error {
		if filepath.Ext(path) != ".txtar" {
			return nil
		}
		archive, err := txtar.ParseFile(path)
		if err == nil {
			err = ran(caseRun{path, archive, translateCase(set, o, part(archive, "in.hl7"))})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
}

// siteFiles visits the files below a folder, or below what it links to, in order; hidden ones are left out.
func siteFiles(dir string, visit func(path string) error) error {
	return fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", dir, err)
		case mapping.Hidden(name) && d.IsDir():
			return fs.SkipDir
		case mapping.Hidden(name), d.IsDir():
			return nil
		}
		return visit(filepath.Join(dir, filepath.FromSlash(name)))
	})
}

// diff gives the difference between what came and what must come, "" for none.
func (c caseRun) diff() string {
	var diff strings.Builder
	for _, f := range c.archive.Files {
		if got, known := c.got[f.Name]; known && !bytes.Equal(got, f.Data) {
			fmt.Fprintf(&diff, "%s (-want +got):\n%s", f.Name, cmp.Diff(string(f.Data), string(got)))
		}
	}
	return diff.String()
}

// fault names the first line of the file, and its part, that differs from what came, and nothing of the
// message; "" where all is as it must be.
func (c caseRun) fault() (line int, what string) {
	line = 1 + bytes.Count(c.archive.Comment, []byte("\n"))
	for _, f := range c.archive.Files {
		line++ // behind the part's marker
		if got, known := c.got[f.Name]; known && !bytes.Equal(got, f.Data) {
			return line + sameLines(f.Data, got), "the case fails: what came differs from " + f.Name + " here (gateway test shows how)"
		}
		line += bytes.Count(f.Data, []byte("\n"))
	}
	return 0, ""
}

// sameLines counts the lines that two texts begin with in common.
func sameLines(a, b []byte) (n int) {
	for {
		lineA, restA, moreA := bytes.Cut(a, []byte("\n"))
		lineB, restB, moreB := bytes.Cut(b, []byte("\n"))
		if !moreA || !moreB || !bytes.Equal(lineA, lineB) {
			return n
		}
		a, b, n = restA, restB, n+1
	}
}

// update writes the file with what came in place of what was wanted.
func (c caseRun) update() error {
	for i, f := range c.archive.Files {
		if got, known := c.got[f.Name]; known {
			c.archive.Files[i].Data = got
		}
	}
	return os.WriteFile(c.path, txtar.Format(c.archive), 0o644)
}

func part(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// setName stands in a case for the digest of the map set, which changes with every edit.
const setName = "(map set)"

func translateCase(set *mapping.Set, o mapping.Options, in []byte) map[string][]byte {
	var issues issue.List
	var out bytes.Buffer
	m, err := hl7.ParseIn(in, o.Charset)
	if err == nil {
		var res *mapping.Result
		if res, err = set.ToFHIR(m, o); err == nil {
			issues = res.Issues
			err = fhir.WriteIndented(&out, res.Bundle.Root)
		}
	}
	if err != nil {
		issues = append(issues, issue.From(err))
	}
	var lines bytes.Buffer
	printIssues(&lines, issues)
	return map[string][]byte{"want.json": bytes.ReplaceAll(out.Bytes(), []byte(set.Digest()), []byte(setName)), "want.issues": lines.Bytes()}
}
