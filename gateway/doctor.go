package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/dermgate/dermgate/gateway/config"
)

// finding is one thing that doctor looked at: well, or with a fault and its cure.
type finding struct {
	Check string `json:"check"` // the key of the configuration it is about
	State string `json:"state"` // "ok", "warning" or "fault"
	Text  string `json:"text"`
	Cure  string `json:"cure,omitempty"`
}

const (
	well    = "ok"
	warning = "warning"
	faulty  = "fault"
)

// examination gathers what is found out about one part of the outside.
type examination struct {
	check string
	found []finding
}

func (e *examination) well(format string, args ...any) {
	e.found = append(e.found, finding{Check: e.check, State: well, Text: fmt.Sprintf(format, args...)})
}

func (e *examination) warn(cure, format string, args ...any) {
	e.found = append(e.found, finding{Check: e.check, State: warning, Text: fmt.Sprintf(format, args...), Cure: cure})
}

func (e *examination) fault(cure, format string, args ...any) {
	e.found = append(e.found, finding{Check: e.check, State: faulty, Text: fmt.Sprintf(format, args...), Cure: cure})
}

// doctor looks at everything outside the gateway that it relies on.
type doctor struct {
	*app
}

func doctorVerb(std stdio) *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor [-c FILE]",
		Short: "checks the outside: store, certificates, names, peers, tokens",
		Long: "Look at everything that the gateway relies on and is not part of it: the store's durability and disk; photos, by an object\n" +
			"that is written, read back and removed, and the keys that open them; its own certificates; for each destination its name,\n" +
			"connection, certificate, token and, over FHIR, what it says it can do. No message is sent. Each fault comes with its cure:\n" +
			"exit 1. Run it where the gateway runs, as its user; it may be running.",
		Example: "  gateway doctor -c gateway.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(file)
			if err == nil {
				err = errorOf(cfg.CheckFiles())
			}
			if err != nil {
				return faults(std, err)
			}
			d := &doctor{app: &app{cfg: cfg, log: slog.New(slog.DiscardHandler), now: time.Now}}
			return tellFindings(std, d.examine(cmd.Context()), asJSON)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration file")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON array of {check, state, text, cure} instead of lines")
	return c
}

func tellFindings(std stdio, found []finding, asJSON bool) error {
	bad := 0
	for _, f := range found {
		if f.State == faulty {
			bad++
		}
		if asJSON {
			continue
		}
		fmt.Fprintf(std.out, "%-8s %s: %s\n", f.State, f.Check, f.Text)
		if f.Cure != "" {
			fmt.Fprintf(std.out, "         cure: %s\n", f.Cure)
		}
	}
	if asJSON {
		if err := printJSON(std.out, found); err != nil {
			return err
		}
	}
	if bad > 0 {
		fmt.Fprintf(std.err, "%d faults\n", bad)
		return errFound
	}
	return nil
}

// lookTime is how long doctor looks at one part of the outside.
const lookTime = 20 * time.Second

// examine looks at all parts at once, and tells of them in the order of the configuration.
func (d *doctor) examine(ctx context.Context) []finding {
	type look func(context.Context, *examination)
	type part struct {
		check string
		look  look
	}
	parts := []part{{"store", d.examineStore}, {"photos", d.examinePhotos}, {"calendar", d.examineCalendar}}
	for _, l := range []struct {
		name string
		of   config.Listener
	}{{"http", d.cfg.HTTP}, {"admin", d.cfg.Admin}} {
		parts = append(parts, part{l.name, func(ctx context.Context, e *examination) { d.examineListener(ctx, e, l.of) }})
	}
	if d.cfg.Alarms.Webhook.Given() {
		parts = append(parts, part{"alarms.webhook", d.examineWebhook})
	}
	for _, s := range d.cfg.Sources {
		parts = append(parts, part{"source " + s.Name, func(ctx context.Context, e *examination) { d.examineSource(ctx, e, s) }})
	}
	for _, t := range d.cfg.Destinations {
		parts = append(parts, part{"destination " + t.Name, func(ctx context.Context, e *examination) { d.examineDestination(ctx, e, t) }})
	}
	out := make([]examination, len(parts))
	var g errgroup.Group
	g.SetLimit(8)
	for i, p := range parts {
		out[i].check = p.check
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, lookTime)
			defer cancel()
			p.look(ctx, &out[i])
			return nil
		})
	}
	_ = g.Wait()
	var all []finding
	for _, e := range out {
		all = append(all, e.found...)
	}
	return all
}
