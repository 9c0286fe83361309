package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/mapping"
)

// lint collects the faults of a configuration and of maps.
type lint struct {
	std    stdio
	asJSON bool
	found  []error // and notes, which are none
	faults int
}

func lintVerb(std stdio) *cobra.Command {
	var file string
	l := lint{std: std, found: []error{}}
	c := &cobra.Command{
		Use:   "lint [-c FILE] [MAPS_DIR]",
		Short: "every fault of the configuration and the maps, each with file:line:col",
		Long: "Tell every fault of the configuration and of the maps, a line each: file:line:col: what is wrong. Where the maps can be\n" +
			"loaded, notes tell what is at work and may not be meant, such as a rule of yours that leaves a shipped one nothing to\n" +
			"do; they do not count: exit 0 with notes only, 1 with faults.",
		Example: "  gateway lint -c gateway.yaml\n  gateway lint ./maps",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return l.run(file, args) },
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration file")
	c.Flags().BoolVar(&l.asJSON, "json", false, "one JSON array of {file, line, col, text} instead of lines; of a note with \"note\": true")
	return c
}

func (l *lint) run(file string, args []string) error {
	folder := ""
	cfg, err := load(file)
	if err == nil {
		folder = cfg.Maps
		if file != "" || len(args) == 0 { // else the maps are asked about
			for _, w := range cfg.Warnings() {
				fmt.Fprintln(l.std.err, "warning:", w)
			}
		}
		err = errorOf(cfg.CheckFiles())
	}
	if err := l.add(err); err != nil {
		return err
	}
	if len(args) > 0 {
		folder = args[0]
	}
	set, err := loadMaps(folder)
	if err == nil && cfg != nil {
		err = overlays(cfg, set)
	}
	if err := l.add(err); err != nil {
		return err
	}
	if set != nil {
		for _, n := range set.Notes() {
			l.found = append(l.found, n)
		}
	}
	return l.tell()
}

// add takes the faults in an error; any other error is given back.
func (l *lint) add(err error) error {
	found, other := faultsOf(err)
	l.found, l.faults = append(l.found, found...), l.faults+len(found)
	return other
}

// tell prints the faults; exit 1 where there are any.
func (l *lint) tell() error {
	if l.asJSON {
		if err := printJSON(l.std.out, l.found); err != nil {
			return err
		}
	} else {
		for _, f := range l.found {
			fmt.Fprintln(l.std.out, f)
		}
	}
	if l.faults > 0 {
		return errFound
	}
	fmt.Fprintln(l.std.err, "no faults")
	return nil
}

func errorOf(f config.Faults) error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// faultsOf gives the faults of a configuration or of maps in an error; any other error is given back.
func faultsOf(err error) (found []error, other error) {
	var conf config.Faults
	var maps mapping.Faults
	switch {
	case errors.As(err, &conf):
		for _, f := range conf {
			found = append(found, f)
		}
	case errors.As(err, &maps):
		for _, f := range maps {
			found = append(found, f)
		}
	default:
		return nil, err
	}
	return found, nil
}
