package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/observe"
)

func serveVerb(std stdio) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "serve",
		Short: "run the gateway",
		Long: "Run the gateway. Without -c: an embedded store under ./data, MLLP on 127.0.0.1:2575, HTTP on 127.0.0.1:8080,\n" +
			"operations on 127.0.0.1:8081, and no destinations: requests are refused until a file names some.",
		Example: "  gateway serve -c gateway.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(file)
			if err != nil {
				return faults(std, err)
			}
			for _, w := range cfg.Warnings() {
				fmt.Fprintln(std.err, "warning:", w)
			}
			gin.SetMode(gin.ReleaseMode)
			log := observe.NewLogger(std.err, slog.LevelInfo)
			a, err := build(cmd.Context(), cfg, log)
			if err != nil {
				return faults(std, err)
			}
			return a.run(cmd.Context())
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration file (default: none)")
	return c
}

// load reads a configuration file, or gives the default for "".
func load(file string) (*config.Config, error) {
	if file == "" {
		return config.Default(), nil
	}
	cfg, err := config.Load(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no configuration file %s", file)
	}
	return cfg, err
}

// faults prints everything that is wrong with a configuration or the maps, a line each, and ends with
// exit 1; any other error is passed on.
func faults(std stdio, err error) error {
	found, other := faultsOf(err)
	if other != nil {
		return other
	}
	for _, f := range found {
		fmt.Fprintln(std.err, f)
	}
	return errFound
}
