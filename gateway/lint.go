package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/mapping"
)

func lintVerb(std stdio) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:     "lint [-c FILE] [MAPS_DIR]",
		Short:   "every fault of the configuration and the maps, each with file:line:col",
		Example: "  gateway lint -c gateway.yaml\n  gateway lint ./maps",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			n, folder := 0, ""
			cfg, err := load(file)
			if err != nil {
				k, err := printFaults(std, err)
				if err != nil {
					return err
				}
				n += k
			} else {
				k, _ := printFaults(std, errorOf(append(cfg.CheckFiles(), unsupported(cfg)...)))
				n, folder = n+k, cfg.Maps
				for _, w := range cfg.Warnings() {
					fmt.Fprintln(std.err, "warning:", w)
				}
			}
			if len(args) > 0 {
				folder = args[0]
			}
			if _, err := loadMaps(folder); err != nil {
				k, err := printFaults(std, err)
				if err != nil {
					return err
				}
				n += k
			}
			if n > 0 {
				return errFound
			}
			fmt.Fprintln(std.err, "no faults")
			return nil
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration file")
	return c
}

func errorOf(f config.Faults) error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// printFaults prints the faults of a configuration or of maps and counts them; any other error is given
// back.
func printFaults(std stdio, err error) (int, error) {
	if err == nil {
		return 0, nil
	}
	var conf config.Faults
	var maps mapping.Faults
	switch {
	case errors.As(err, &conf):
		for _, f := range conf {
			fmt.Fprintln(std.out, f)
		}
		return len(conf), nil
	case errors.As(err, &maps):
		for _, f := range maps {
			fmt.Fprintln(std.out, f)
		}
		return len(maps), nil
	}
	return 0, err
}
