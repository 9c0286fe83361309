package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/api"
	"github.com/dermgate/dermgate/mapping/issue"
)

// parkedGroup is a group of parked deliveries as the gateway tells it.
type parkedGroup struct {
	ID, To         string
	What           []string
	Count          int
	Cause          *issue.Issue
	Oldest, Newest time.Time
}

// parkedList is what GET /api/v1/parked gives.
type parkedList struct {
	Groups     []parkedGroup
	Deliveries []struct {
		ID, Case, To, What, Group string
		Created                   time.Time
		Cause                     *issue.Issue
	}
}

// group gives a group by its id.
func (l parkedList) group(id string) (parkedGroup, error) {
	for _, g := range l.Groups {
		if g.ID == id {
			return g, nil
		}
	}
	return parkedGroup{}, fmt.Errorf("no group %s is parked: gateway parked lists them", id)
}

func parkedVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	c := &cobra.Command{Use: "parked [GROUP]", Short: "deliveries that wait for a person, grouped by destination and cause; those of one group",
		Example: "  gateway parked\n  gateway parked g-3fa1b2c4d5e6", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out parkedList
			raw, err := o.call(cmd.Context(), http.MethodGet, "/api/v1/parked", nil, &out)
			if err != nil || o.asJSON {
				return o.raw(raw, err)
			}
			w := tabwriter.NewWriter(std.out, 2, 8, 2, ' ', 0)
			if len(args) == 1 {
				return tellGroup(w, out, args[0])
			}
			fmt.Fprintln(w, "GROUP\tCOUNT\tTO\tWHAT\tOLDEST\tNEWEST\tCAUSE")
			for _, g := range out.Groups {
				fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", g.ID, g.Count, g.To, strings.Join(g.What, ", "), g.Oldest.Format(time.DateTime), g.Newest.Format(time.DateTime), strings.Trim(why(g.Cause), " ()"))
			}
			return w.Flush()
		}}
	return o.flags(c, false)
}

func tellGroup(w *tabwriter.Writer, l parkedList, id string) error {
	g, err := l.group(id)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "DELIVERY\tCASE\tTO\tWHAT\tSINCE\tCAUSE")
	for _, d := range l.Deliveries {
		if d.Group == id {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Case, d.To, d.What, d.Created.Format(time.DateTime), strings.Trim(why(d.Cause), " ()"))
			g.Count--
		}
	}
	if g.Count > 0 {
		fmt.Fprintf(w, "and %d more\n", g.Count)
	}
	return w.Flush()
}

func contentVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	c := &cobra.Command{Use: "content DELIVERY", Short: "the bytes that a delivery sends: patient data, so it is audited; edit them and replay with --content",
		Example: "  gateway content DELIVERY > message.hl7", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := o.call(cmd.Context(), http.MethodGet, "/api/v1/deliveries/"+url.PathEscape(args[0])+"/content", nil, nil)
			if err != nil {
				return err
			}
			_, err = std.out.Write(b)
			return err
		}}
	return o.flags(c, false)
}

// parkedAct is an act on a parked delivery, or on a whole group of them.
type parkedAct struct {
	operator
	verb, to, content string
	translate         bool
	preview, yes      bool
	rate              float64
}

func (a *parkedAct) command(short, example string) *cobra.Command {
	c := &cobra.Command{Use: a.verb + " DELIVERY | GROUP", Short: short, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.HasPrefix(args[0], "g-") {
				return a.group(cmd.Context(), args[0])
			}
			return a.one(cmd.Context(), args[0])
		}}
	c.Flags().BoolVar(&a.preview, "preview", false, "say what would be done, and do nothing")
	c.Flags().BoolVar(&a.yes, "yes", false, "of a group: do it; without it only the preview is shown")
	if a.verb != "discard" {
		c.Flags().BoolVar(&a.translate, "translate", false, "translate the message again by today's maps; what is sent is a child of the parked delivery, under a key of its own")
		c.Flags().Float64Var(&a.rate, "rate", 10, "of a group: so many a second")
		c.Flags().StringVar(&a.to, "to", "", "to another destination")
	}
	return a.flags(c, true)
}

func replayVerb(std stdio) *cobra.Command {
	a := &parkedAct{operator: operator{std: std}, verb: "replay"}
	c := a.command("send parked deliveries again: the same bytes under the same key, or made anew",
		"  gateway replay DELIVERY --reason 'EPR is back'\n  gateway replay g-3fa1b2c4d5e6 --translate --reason 'PV1-19 is mapped now' --yes")
	c.Flags().StringVar(&a.content, "content", "", "file with the edited bytes: what is sent is a child of the parked delivery, under a key of its own")
	return c
}

func redirectVerb(std stdio) *cobra.Command {
	a := &parkedAct{operator: operator{std: std}, verb: "redirect"}
	c := a.command("send parked deliveries to another destination", "  gateway redirect DELIVERY --to epr2 --reason 'EPR moved'")
	_ = c.MarkFlagRequired("to")
	return c
}

func discardVerb(std stdio) *cobra.Command {
	a := &parkedAct{operator: operator{std: std}, verb: "discard"}
	return a.command("give parked deliveries up", "  gateway discard DELIVERY --reason 'sent by hand'")
}

// more gives what an act says beside its reason.
func (a *parkedAct) more() (map[string]any, error) {
	m := map[string]any{}
	if a.to != "" {
		m["to"] = a.to
	}
	if a.translate {
		m["translate"] = true
	}
	if a.content != "" {
		b, err := os.ReadFile(a.content)
		if err != nil {
			return nil, err
		}
		m["content"] = string(b)
	}
	return m, nil
}

func (a *parkedAct) one(ctx context.Context, id string) error {
	more, err := a.more()
	if err != nil {
		return err
	}
	if !a.preview {
		return a.act(ctx, "deliveries", id, a.verb, more)
	}
	more["verb"] = a.verb
	var p api.Preview
	if _, err := a.call(ctx, http.MethodPost, "/api/v1/deliveries/"+url.PathEscape(id)+"/preview", more, &p); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.std.out, 2, 8, 2, ' ', 0)
	if p.To != "" {
		fmt.Fprintf(w, "to\t%s\nkey\t%s\nbytes\t%d, sha256 %s\nparts\t%d\nsame as parked\t%t\n", p.To, p.Key, p.Bytes, p.SHA256, p.Parts, p.Same)
		fmt.Fprintf(w, "maps\t%s\nsteps done\t%s\n", strings.TrimPrefix(byMaps(p.Maps), ", maps "), strings.Join(p.Steps, ", "))
	}
	fmt.Fprintf(w, "parked for\t%s\nof its case besides\t%d\na repeat\t%s\n", strings.Trim(why(p.Cause), " ()"), p.Behind, p.Repeat)
	return w.Flush()
}

// group shows what is in a group, and acts on as many as it has shown when it is told to.
func (a *parkedAct) group(ctx context.Context, id string) error {
	if a.content != "" {
		return errUsage{errors.New("--content is for one delivery")}
	}
	var list parkedList
	if _, err := a.call(ctx, http.MethodGet, "/api/v1/parked", nil, &list); err != nil {
		return err
	}
	g, err := list.group(id)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.std.out, "%s %d deliveries to %s, the oldest of %s: %s\n", a.verb, g.Count, g.To, g.Oldest.Format(time.DateTime), strings.Trim(why(g.Cause), " ()"))
	if a.preview || !a.yes {
		fmt.Fprintln(a.std.err, "nothing is done without --yes")
		return nil
	}
	return a.all(ctx, g)
}

func (a *parkedAct) all(ctx context.Context, g parkedGroup) error {
	more, err := a.more()
	if err != nil {
		return err
	}
	more["reason"], more["expect"] = a.reason, g.Count
	if a.verb != "discard" {
		more["rate"] = a.rate
	}
	var out struct {
		Count  int
		Failed []struct {
			ID    string
			Cause *issue.Issue
		}
	}
	if _, err := a.call(ctx, http.MethodPost, "/api/v1/parked/"+url.PathEscape(g.ID)+"/"+a.verb, more, &out); err != nil {
		return err
	}
	fmt.Fprintf(a.std.err, "done: %d of %d\n", out.Count, g.Count)
	for _, f := range out.Failed {
		fmt.Fprintf(a.std.err, "%s is left as it is%s\n", f.ID, why(f.Cause))
	}
	if len(out.Failed) > 0 {
		return errFound
	}
	return nil
}
