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
	var v hl7View
	c := &cobra.Command{
		Use:   "hl7 [FILE|-]",
		Short: "show what the HL7 v2 parser sees in a message, or in each message of a batch",
		Long: "Show what the HL7 v2 parser sees in a message. A file of several messages, with or without FHS and BHS, shows each of\n" +
			"them; with --json as one object {\"batch\":…,\"messages\":[…],\"issues\":[…]}, whose messages are what a single one gives\n" +
			"and whose issues are those of the envelope.",
		Example: "  gateway hl7 fixtures/messages/advice.hl7\n  gateway hl7 --json - < message.hl7\n  gateway hl7 --charset SHIFT-JIS message.hl7",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			raw, err := input(args, std.in)
			if err != nil {
				return err
			}
			v.std = std
			if hl7.Several(raw, v.charset) {
				return v.batch(hl7.Split(raw, v.charset))
			}
			return v.message(raw)
		},
	}
	c.Flags().BoolVar(&v.json, "json", false, "one JSON object instead of a table")
	c.Flags().StringVar(&v.charset, "charset", "", "character set, as the charset of a source")
	return c
}

// hl7View is how messages are shown.
type hl7View struct {
	std     stdio
	json    bool
	charset string
}

func (v hl7View) message(raw []byte) error {
	m, err := hl7.ParseIn(raw, v.charset)
	if err != nil {
		return refusal(v.std, v.json, issue.From(err))
	}
	if v.json {
		return printJSON(v.std.out, m.Explain())
	}
	printExplanation(v.std.out, m.Explain())
	return nil
}

// batch shows every message; one that is none, or a fault of the envelope, ends with exit 1.
func (v hl7View) batch(b *hl7.Batch) error {
	found := b.Issues.Worst() != nil
	printIssues(v.std.err, b.Issues)
	messages := make([]any, len(b.Messages))
	for i, raw := range b.Messages {
		m, err := hl7.ParseIn(raw, v.charset)
		if err != nil {
			found = true
			messages[i] = map[string]any{"issues": issue.List{issue.From(err)}}
			fmt.Fprintf(v.std.err, "message %d: error: %s\n", i+1, issue.From(err))
			continue
		}
		e := m.Explain()
		if messages[i] = e; !v.json {
			fmt.Fprintf(v.std.out, "message %d of %d: ", i+1, len(b.Messages))
			printExplanation(v.std.out, e)
		}
	}
	if v.json {
		out := map[string]any{"batch": b.Summary(), "messages": messages, "issues": append(issue.List{}, b.Issues...)}
		if err := printJSON(v.std.out, out); err != nil {
			return err
		}
	}
	if found {
		return errFound
	}
	return nil
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
