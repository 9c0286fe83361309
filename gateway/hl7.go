package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

func hl7Verb(std stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "hl7 [FILE|-]",
		Short:   "show what the HL7 v2 parser sees in a message",
		Example: "  gateway hl7 fixtures/messages/advice.hl7\n  gateway hl7 --json - < message.hl7",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			raw, err := input(args, std.in)
			if err != nil {
				return err
			}
			m, err := hl7.Parse(raw)
			if err != nil {
				return refusal(std, asJSON, issue.From(err))
			}
			e := m.Explain()
			if asJSON {
				return printJSON(std.out, e)
			}
			printExplanation(std.out, e)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object instead of a table")
	return c
}

func printExplanation(out io.Writer, e hl7.Explanation) {
	fmt.Fprintf(out, "%s  version %s  charset %s  round trip %v\n", e.Type, e.Version, e.Charset, e.RoundTrip)
	w := tabwriter.NewWriter(out, 2, 8, 2, ' ', 0)
	for _, f := range e.Fields {
		fmt.Fprintf(w, "%s\t%s\n", f.Path, clip(f.Value))
	}
	w.Flush()
	for _, i := range e.Issues {
		fmt.Fprintf(out, "%s: %s: %s\n", i.Severity, i.Where, i.Text)
	}
}

// clip shortens a value for the table only: a photo is a megabyte of base64.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", s[:most], len(s))
}

// refusal prints why an input was refused, with its place, and ends with exit 1.
func refusal(std stdio, asJSON bool, i *issue.Issue) error {
	if asJSON {
		if err := printJSON(std.out, map[string]any{"issues": issue.List{i}}); err != nil {
			return err
		}
	}
	fmt.Fprintf(std.err, "%s: %s\n", i.Severity, i)
	return errFound
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
