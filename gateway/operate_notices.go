package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/pathway"
)

// notice is the flag that says which notices a word is about.
func notice(c *cobra.Command, into *[]string, usage string) {
	c.Flags().StringSliceVar(into, "notice", nil, usage)
}

func toldVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	var notices []string
	c := &cobra.Command{Use: "told CASE", Short: "say that the patient was told what they are owed; with --notice N9, as a clinician, that a cancer was",
		Example: "  gateway told CASE --notice N1 --reason 'by phone, spoke to the patient'", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.act(cmd.Context(), "cases", args[0], "told", about(notices))
		}}
	notice(c, &notices, "which (default: all that are owed)")
	return o.flags(c, true)
}

func waiveVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	var notices []string
	var code string
	c := &cobra.Command{Use: "waive CASE --notice N4 --because CODE", Short: "as a clinician, waive what a patient is owed, for a coded reason",
		Example: "  gateway waive CASE --notice N4 --because said-in-another --reason 'told in the consultation of 3 November'", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			more := about(notices)
			more["code"] = code
			return o.act(cmd.Context(), "cases", args[0], "waive", more)
		}}
	notice(c, &notices, "which")
	c.Flags().StringVar(&code, "because", "", "one of "+strings.Join(pathway.WaiveCodes(), ", "))
	_ = c.MarkFlagRequired("notice")
	_ = c.MarkFlagRequired("because")
	return o.flags(c, true)
}

func tellVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	var notices []string
	var words string
	c := &cobra.Command{Use: "tell CASE --notice N4 [--words FILE]", Short: "as a clinician, let a notice go to the patient, with what you write to them",
		Example: "  gateway tell CASE --notice N4 --words plain.txt --reason 'read, harmless'", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			more := about(notices)
			if words != "" {
				b, err := input([]string{words}, std.in)
				if err != nil {
					return err
				}
				more["words"] = string(b)
			}
			return o.act(cmd.Context(), "cases", args[0], "tell", more)
		}}
	notice(c, &notices, "which")
	c.Flags().StringVar(&words, "words", "", "file with what the patient reads (-: standard input); left out: the standard text")
	_ = c.MarkFlagRequired("notice")
	return o.flags(c, true)
}

func about(notices []string) map[string]any {
	more := map[string]any{}
	if len(notices) > 0 {
		more["notices"] = notices
	}
	return more
}

// workCase is what a list of cases says for the report.
type workCase struct {
	ID, Kind, State, Urgency, Organisation string
	ForUser                                bool
	Changed                                time.Time
	Work                                   pathway.Work
}

// workReport sums what people had to do beyond asking and answering.
func workReport(std stdio, cases []workCase) error {
	kinds := map[string][]workCase{}
	for _, c := range cases {
		kinds[c.Kind] = append(kinds[c.Kind], c)
	}
	w := tabwriter.NewWriter(std.out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tCASES\tWITHOUT EXTRA WORK\tACTS BY HAND\tTASKS OPEN\tOF THEM")
	for _, kind := range []string{string(pathway.Advice), string(pathway.Referral)} {
		none, acts, tasks, each := 0, 0, 0, map[string]int{}
		for _, c := range kinds[kind] {
			if c.Work.Total == 0 {
				none++
			}
			for name, n := range c.Work.Acts {
				acts += n
				each[name] += n
			}
			for name, n := range c.Work.Tasks {
				tasks += n
				each[name] += n
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\n", kind, len(kinds[kind]), none, acts, tasks, counts(each))
	}
	return w.Flush()
}

// counts tells "release 2, sign-in 1".
func counts(of map[string]int) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		out = append(out, fmt.Sprintf("%s %d", name, of[name]))
	}
	return strings.Join(out, ", ")
}

// extra tells the work of one case: "2: release 1, sign-in 1"; "0" for none.
func extra(w pathway.Work) string {
	if w.Total == 0 {
		return "0"
	}
	var parts []string
	for _, of := range []map[string]int{w.Acts, w.Tasks} {
		if len(of) > 0 {
			parts = append(parts, counts(of))
		}
	}
	return fmt.Sprintf("%d: %s", w.Total, strings.Join(parts, ", "))
}
