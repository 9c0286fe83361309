package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/cases"
)

func testVerb(std stdio) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "test [DIR]",
		Short: "run mapping cases: *.txtar with an input and what must come of it",
		Long: "Run mapping cases. A case is a txtar file: in.hl7, and what must come of it: want.json (the Bundle, indented),\n" +
			"want.issues and want.unmapped (a line each), want.RRI_I12.hl7 (the message the Bundle becomes, a segment a line; also of\n" +
			"in.json, a Bundle). A wanted part that is absent is not compared. UPDATE=1 in the environment rewrites what is wanted, and\n" +
			"writes all of it into a case that has its input alone; read it before you keep it.",
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
	err = eachCase(set, o, dir, func(path string, c cases.Came) error {
		ran++
		if os.Getenv("UPDATE") != "" {
			return os.WriteFile(path, c.Updated(), 0o644)
		}
		if diff := c.Diff(); diff != "" {
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

// eachCase runs every case below a folder, hidden ones aside.
func eachCase(set *mapping.Set, o mapping.Options, dir string, ran func(path string, c cases.Came) error) error {
	return siteFiles(dir, func(path string) error {
		if filepath.Ext(path) != cases.Extension {
			return nil
		}
		c, err := cases.Read(os.DirFS(filepath.Dir(path)), filepath.Base(path))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		came, err := c.Run(set, o)
		if err == nil {
			err = ran(path, came)
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
