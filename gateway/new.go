package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/cases"
	"github.com/dermgate/dermgate/mapping/starter"
)

func newVerb(std stdio) *cobra.Command {
	c := &cobra.Command{Use: "new", Short: "begin a file of your own", Example: "  gateway new map 'PID[Patient]'", RunE: func(_ *cobra.Command, args []string) error {
		return errUsage{fmt.Errorf("new %s: want gateway new map NAME, such as 'PID[Patient]'", strings.Join(args, " "))}
	}}
	var file, folder string
	m := &cobra.Command{
		Use:   "map NAME",
		Short: "write a commented starter of a map, and a case beside it",
		Long: "Write a commented starter of a map into the folder of your maps (default: that of the configuration, else ./maps), and a\n" +
			"case beside it: what HL7 and FHIR have for it stands in the comments, and what the shipped map does. It loads and its\n" +
			"case passes as it is written. A file that is there stays as it is, but that a message of yours gets the line at its end\n" +
			"which asks for the new map. NAME says what it is:\n" +
			"  ORU_R01          a message into FHIR           Bundle[RRI_I12]  one out of it\n" +
			"  PID[Patient]     a segment into a resource     Patient[PID]     and back\n" +
			"  CX[Identifier]   a data type                   Identifier[CX]   and back\n" +
			"  ConsentQuestion  a table\n" +
			"Where there is a map of the name, yours adds to it. Then: gateway lint ./maps; gateway test ./maps.",
		Example: "  gateway new map 'PID[Patient]'\n  gateway new map 'ZPI[Patient]' --maps ./maps",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errUsage{fmt.Errorf("new map: want one NAME, such as 'PID[Patient]' (in quotes: the shell reads brackets), not %d", len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := load(file)
			if err != nil {
				return faults(std, err)
			}
			return newMap(std, cfg, cmp.Or(folder, cfg.Maps, "maps"), args[0])
		},
	}
	m.Flags().StringVarP(&file, "config", "c", "", "configuration whose maps folder and source rules to use")
	m.Flags().StringVar(&folder, "maps", "", "folder of your maps")
	c.AddCommand(m)
	return c
}

func newMap(std stdio, cfg *config.Config, folder, name string) error {
	set, err := siteSet(folder)
	if err != nil {
		return faults(std, err)
	}
	s, err := starter.New(set, name)
	if err != nil {
		return errUsage{err}
	}
	files := []starter.File{s.Map}
	asks := mapUse{}
	if s.Use != nil {
		if asks, err = askIn(folder, *s.Use); err != nil {
			return err
		}
		if asks.file == "" {
			files = append(files, *s.Use)
		}
	}
	files = append(files, s.Case)
	done, err := writeNew(folder, files)
	if err == nil {
		err = errors.Join(asks.write(), fillCase(cfg, folder, s.Case.Name))
	}
	if err != nil {
		for _, name := range done {
			os.Remove(name) // our own, of a moment ago
		}
		asks.undo()
		var found mapping.Faults
		if errors.As(err, &found) {
			fmt.Fprintln(std.err, "nothing is written, for these maps would not load (a new map of a data type needs a rule that asks for it first):")
		}
		return faults(std, err)
	}
	for _, name := range done {
		fmt.Fprintln(std.out, name)
	}
	if asks.file != "" {
		fmt.Fprintf(std.out, "%s, at its end:\n%s", asks.file, asks.entry)
	}
	return nil
}

// mapUse is a message's file of the site that asks for a new map from now on.
type mapUse struct {
	file          string // "" where there is none yet
	before, entry string
}

// askIn finds the file that is to ask for a new map. The error is for one that does not end with the list.
func askIn(folder string, use starter.File) (mapUse, error) {
	name := filepath.Join(folder, filepath.FromSlash(use.Name))
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return mapUse{}, nil
	}
	if err != nil {
		return mapUse{}, err
	}
	key := lastKey(use.Content)
	_, entry, _ := strings.Cut(use.Content, key+"\n")
	if lastKey(string(b)) != key {
		return mapUse{}, fmt.Errorf("%s is there already, and %s are not the last of it: put this among them first\n%s", name, strings.TrimSuffix(key, ":"), entry)
	}
	return mapUse{name, string(b), entry}, nil
}

// topKeys are the keys of a map file that stand at the beginning of a line.
var topKeys = regexp.MustCompile(`(?m)^[a-z]+:`)

func lastKey(content string) string {
	all := topKeys.FindAllString(content, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

func (a mapUse) write() error {
	if a.file == "" {
		return nil
	}
	return os.WriteFile(a.file, []byte(strings.TrimRight(a.before, "\n")+"\n"+a.entry), 0o644)
}

func (a mapUse) undo() {
	if a.file != "" {
		_ = os.WriteFile(a.file, []byte(a.before), 0o644) // as it was; what went wrong is told already
	}
}

// siteSet loads a site's maps over the shipped ones; there may be none yet.
func siteSet(folder string) (*mapping.Set, error) {
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		folder = ""
	}
	return loadMaps(folder)
}

// writeNew writes files that must not be there yet, and gives the names of those it has written.
func writeNew(folder string, files []starter.File) (done []string, err error) {
	for _, f := range files {
		name := filepath.Join(folder, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return done, err
		}
		out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return done, fmt.Errorf("%s is there already, and stays as it is", name)
		}
		if err != nil {
			return done, err
		}
		done = append(done, name)
		_, err = bytes.NewBufferString(f.Content).WriteTo(out)
		if err = errors.Join(err, out.Close()); err != nil {
			return done, err
		}
	}
	return done, nil
}

// fillCase writes what comes of a new case into it.
func fillCase(cfg *config.Config, folder, name string) error {
	set, err := loadMaps(folder)
	if err != nil {
		return err
	}
	o, err := mapFlags{}.options(cfg)
	if err != nil {
		return err
	}
	c, err := cases.Read(os.DirFS(folder), name)
	if err != nil {
		return err
	}
	came, err := c.Run(set, o)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, filepath.FromSlash(name)), came.Updated(), 0o644)
}
