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
			"each); a part that is absent is not compared. UPDATE=1 in the environment rewrites what is there.",
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
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".txtar") {
			return err
		}
		ran++
		diff, err := runCase(set, o, path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if diff != "" {
			failed++
			fmt.Fprintf(std.out, "FAIL %s\n%s", path, diff)
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

// runCase gives the difference between what came and what must come, "" for none.
func runCase(set *mapping.Set, o mapping.Options, path string) (string, error) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		return "", err
	}
	got := translateCase(set, o, part(archive, "in.hl7"))
	var diff strings.Builder
	for i, f := range archive.Files {
		want, known := got[f.Name]
		if !known {
			continue
		}
		if os.Getenv("UPDATE") != "" {
			archive.Files[i].Data = want
		} else if !bytes.Equal(want, f.Data) {
			fmt.Fprintf(&diff, "%s (-want +got):\n%s", f.Name, cmp.Diff(string(f.Data), string(want)))
		}
	}
	if os.Getenv("UPDATE") != "" {
		return "", os.WriteFile(path, txtar.Format(archive), 0o644)
	}
	return diff.String(), nil
}

func part(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

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
	return map[string][]byte{"want.json": out.Bytes(), "want.issues": lines.Bytes()}
}
