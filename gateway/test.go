package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/cases"
)

// testRun is one `gateway test`.
type testRun struct {
	std                               stdio
	config                            string
	coverage, shipped, update, asJSON bool
	atLeast                           int

	Passed   int          `json:"passed"`
	Failed   []failedCase `json:"failed"`
	Coverage *coverage    `json:"coverage,omitempty"`
}

// failedCase is a case and the difference between what it wants and what came.
type failedCase struct {
	File string `json:"file"`
	Diff string `json:"diff"`
}

func testVerb(std stdio) *cobra.Command {
	t := testRun{std: std, Failed: []failedCase{}}
	c := &cobra.Command{
		Use:   "test [DIR|CASE]",
		Short: "run mapping cases: *.txtar with an input and what must come of it",
		Long: "Run the mapping cases below a folder (default: the maps folder of the configuration, else ./maps), or one case. Where the configuration\n" +
			"names no maps, those in the same folder are used over the shipped ones.\n\n" +
			"A case is a txtar file: in.hl7, and what must come of it: want.json (the Bundle, indented), want.issues and want.unmapped (a\n" +
			"line each), want.RRI_I12.hl7 (the message the Bundle becomes, a segment a line; also of in.json, a Bundle). A wanted part\n" +
			"that is absent is not compared. A txtar file without any of these is left out.\n\n" +
			"--update, or UPDATE=1 in the environment, rewrites what is wanted, and writes all of it into a case that has its input\n" +
			"alone; read it before you keep it. --coverage tells which rules of the maps no case runs.",
		Example: "  gateway test ./maps\n  gateway test -c gateway.yaml --coverage --at-least 100",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t.coverage = t.coverage || c.Flags().Changed("at-least")
			return t.run(args)
		},
	}
	c.Flags().StringVarP(&t.config, "config", "c", "", "configuration whose maps and source rules to use")
	c.Flags().BoolVar(&t.update, "update", os.Getenv("UPDATE") != "", "rewrite what is wanted with what came")
	c.Flags().BoolVar(&t.coverage, "coverage", false, "print for each map file how many of its rules a case runs, and those that none runs")
	c.Flags().BoolVar(&t.shipped, "shipped", false, "count the rules of the shipped maps too (default where there are no others)")
	c.Flags().IntVar(&t.atLeast, "at-least", 0, "exit 1 when fewer per cent of the rules are run")
	c.Flags().BoolVar(&t.asJSON, "json", false, "one JSON object instead of lines")
	return c
}

func (t *testRun) run(args []string) error {
	cfg, err := load(t.config)
	if err != nil {
		return faults(t.std, err)
	}
	dir, folder := testFolders(cfg, args)
	set, err := loadMaps(folder)
	if err != nil {
		return faults(t.std, err)
	}
	o, err := mapFlags{}.options(cfg)
	if err != nil {
		return err
	}
	if t.coverage {
		o.Ran = &mapping.Coverage{}
	}
	if err := eachCase(set, o, dir, t.ran); err != nil {
		return err
	}
	if t.Passed+len(t.Failed) == 0 {
		return fmt.Errorf("no case (*%s) under %s", cases.Extension, dir)
	}
	if t.coverage {
		from := siteLayer
		if t.shipped || !hasMaps(folder) {
			from = shippedLayer
		}
		found := covered(set, o.Ran, from, folder)
		t.Coverage = &found
	}
	return t.tell()
}

// testFolders gives the folder of the cases and that of the maps.
func testFolders(cfg *config.Config, args []string) (dir, folder string) {
	switch {
	case len(args) > 0 && filepath.Ext(args[0]) == cases.Extension: // one case: its maps are where its folder lies
		return args[0], cmp.Or(cfg.Maps, mapsAround(args[0]))
	case len(args) > 0:
		dir = args[0]
	case cfg.Maps != "":
		dir = cfg.Maps
	default:
		dir = "maps"
	}
	return dir, cmp.Or(cfg.Maps, dir)
}

// mapsAround gives the folder of maps that a case lies in: the nearest above it that has a folder as maps have; "" for
// none.
func mapsAround(file string) string {
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		for _, name := range []string{"segments", "messages", "datatypes", "tables", "senders"} {
			if f, err := os.Stat(filepath.Join(dir, name)); err == nil && f.IsDir() {
				return dir
			}
		}
		if parent := filepath.Dir(dir); parent == dir {
			return ""
		}
	}
}

// ran judges what came of one case.
func (t *testRun) ran(path string, c cases.Came, trouble error) error {
	switch {
	case errors.Is(trouble, cases.ErrNoCase):
		fmt.Fprintf(t.std.err, "%s: left out: %s\n", path, trouble)
		return nil
	case trouble != nil:
		t.Failed = append(t.Failed, failedCase{path, trouble.Error() + "\n"})
		return nil
	}
	diff := c.Diff()
	switch {
	case t.update:
		if err := os.WriteFile(path, c.Updated(), 0o644); err != nil {
			return err
		}
		t.Passed++
	case diff == "":
		t.Passed++
	default:
		t.Failed = append(t.Failed, failedCase{path, diff})
	}
	return nil
}

// tell prints what was found; exit 1 for a case that fails, and for too few rules run.
func (t *testRun) tell() error {
	if t.asJSON {
		if err := printJSON(t.std.out, t); err != nil {
			return err
		}
	} else {
		for _, f := range t.Failed {
			fmt.Fprintf(t.std.out, "FAIL %s\n%s", f.File, f.Diff)
		}
		if t.Coverage != nil {
			t.Coverage.print(t.std.out)
		}
		fmt.Fprintf(t.std.out, "%d passed, %d failed\n", t.Passed, len(t.Failed))
	}
	if len(t.Failed) > 0 || t.Coverage != nil && t.Coverage.percent() < t.atLeast {
		return errFound
	}
	return nil
}

// eachCase runs every case below a folder, hidden ones aside; or the one that dir names. trouble is why a file is no case
// that can be run, cases.ErrNoCase for one that is none at all.
func eachCase(set *mapping.Set, o mapping.Options, dir string, ran func(path string, c cases.Came, trouble error) error) error {
	one := func(path string) error {
		if filepath.Ext(path) != cases.Extension {
			return nil
		}
		var came cases.Came
		c, err := cases.Read(os.DirFS(filepath.Dir(path)), filepath.Base(path))
		if err == nil {
			came, err = c.Run(set, o)
		}
		return ran(path, came, err)
	}
	if filepath.Ext(dir) == cases.Extension {
		return one(dir)
	}
	return siteFiles(dir, one)
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
