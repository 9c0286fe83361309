package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/image"
	"github.com/dermgate/dermgate/mapping/issue"
)

// mapFlags are the choices of `map`.
type mapFlags struct {
	config, maps         string
	source, sender       string
	to, message, version string
	charset, destination string
	explain, inline      bool
}

func mapVerb(std stdio) *cobra.Command {
	var f mapFlags
	c := &cobra.Command{
		Use:   "map [FILE|-]",
		Short: "translate a message: HL7 v2 to FHIR, or a FHIR Bundle to HL7 v2",
		Long: "Translate a message and print the result; issues go to stderr, what the source's validate finds, what is wrong with the\n" +
			"Bundle and what keeps resources from their UK Core profile among them. Nothing is stored and the checks of a source are\n" +
			"not enforced. Photos appear as Media with a urn:sha-256 url; --inline puts their data in.\n\n" +
			"--explain prints one JSON object instead: for each element the leaves it comes from and its rule (with \"site\": true for\n" +
			"one of your own maps), the leaves that were left unmapped or ignored, and how many there are of each.\n\n" +
			"A file of several HL7 v2 messages, with or without FHS and BHS, gives one result a message, one behind the other (jq\n" +
			"reads them so); faults of the envelope and messages that cannot be translated are told.\n\n" +
			"The exit code is 1 where an issue is an error, also when there is a translation beside it: a source would refuse that.",
		Example: "  gateway map referral.hl7\n  gateway map --explain referral.hl7\n  gateway map --to hl7 --message RRI_I12 --version 2.3 --charset 8859/1 answer.json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range []string{"message", "version", "destination"} {
				if f.to != "hl7" && c.Flags().Changed(name) {
					return errUsage{fmt.Errorf("--%s is for what goes out: with --to hl7", name)}
				}
			}
			for _, name := range []string{"source", "sender"} {
				if f.to == "hl7" && c.Flags().Changed(name) {
					return errUsage{fmt.Errorf("--%s is for what comes in: with --to fhir", name)}
				}
			}
			raw, err := input(args, std.in)
			if err != nil {
				return err
			}
			return f.run(std, raw)
		},
	}
	c.Flags().StringVarP(&f.config, "config", "c", "", "configuration whose maps and source rules to use")
	c.Flags().StringVar(&f.maps, "maps", "", "folder of your own maps (default: that of the configuration)")
	c.Flags().StringVar(&f.source, "source", "", "source of the configuration whose rules to use (default: its first HL7 v2 one)")
	c.Flags().StringVar(&f.sender, "sender", "", "overlay of the maps to use, senders/NAME.yaml (default: that of the source)")
	c.Flags().StringVar(&f.to, "to", "fhir", "fhir or hl7")
	c.Flags().StringVar(&f.charset, "charset", "", "character set, by its name in HL7 table 0211: that of the source, where MSH-18 says none; with --to hl7: to write in (default: UNICODE UTF-8)")
	c.Flags().StringVar(&f.destination, "destination", "", "with --to hl7: mllp destination of the configuration whose message, version, charset and lengths to use, where no flag says otherwise")
	c.Flags().StringVar(&f.message, "message", "", "with --to hl7: which message (default: RRI_I12): a Bundle[…] map by its name, or another event of its structure such as RRI_I14")
	c.Flags().StringVar(&f.version, "version", "", "with --to hl7: in which version of HL7 v2 (default: 2.4)")
	c.Flags().BoolVar(&f.explain, "explain", false, "one JSON object that says where each element comes from, and what was left")
	c.Flags().BoolVar(&f.inline, "inline", false, "put the data of photos in")
	return c
}

func (f mapFlags) run(std stdio, raw []byte) error {
	cfg, err := load(f.config)
	if err != nil {
		return faults(std, err)
	}
	set, err := loadMaps(cmp.Or(f.maps, cfg.Maps))
	if err != nil {
		return faults(std, err)
	}
	if f.to == "hl7" && (f.explain || f.inline) {
		return errUsage{errors.New("--explain and --inline are for what is translated to FHIR")}
	}
	if err := f.knownCharset(); err != nil {
		return err
	}
	switch f.to {
	case "fhir":
		return f.toFHIR(std, cfg, set, raw)
	case "hl7":
		return f.toHL7(std, cfg, set, raw)
	}
	return errUsage{fmt.Errorf("--to %s: want fhir or hl7", f.to)}
}

// knownCharset holds --charset to the sets that a source may declare, or a destination.
func (f mapFlags) knownCharset() error {
	names, transcoded := hl7.CharsetNames()
	if f.to == "fhir" {
		names = append(names, transcoded...)
	}
	if f.charset != "" && !slices.Contains(names, f.charset) {
		return errUsage{fmt.Errorf("--charset %s: want %s", f.charset, strings.Join(names, ", "))}
	}
	return nil
}

// options gives the rules of the chosen source.
func (f mapFlags) options(cfg *config.Config) (mapping.Options, error) {
	o, _, err := f.rules(cfg)
	return o, err
}

// rules gives those of the chosen source: how to translate, and what to hold the message to.
func (f mapFlags) rules(cfg *config.Config) (mapping.Options, hl7.Profile, error) {
	o := mapping.Options{Source: "map", Zone: cfg.Site.Timezone, Trace: f.explain, Profile: true, Limits: image.Limits{Bytes: cfg.Limits.PhotoBytes, Pixels: cfg.Limits.PhotoPixels}}
	if f.inline {
		o.Files = mapping.FilesInline
	}
	for _, s := range cfg.Sources {
		if s.KindOfCase == nil || f.source != "" && s.Name != f.source {
			continue
		}
		rules, err := sourceRules(cfg, s)
		o.Sender, o.Charset, o.Kind, o.Urgency = rules.Overlay, rules.Charset, rules.Kind, rules.Urgency
		return o, rules.Validate, err
	}
	if f.source != "" {
		return o, hl7.Profile{}, errUsage{fmt.Errorf("--source %s: no such HL7 v2 source in the configuration", f.source)}
	}
	return o, hl7.Profile{}, nil
}

func (f mapFlags) toFHIR(std stdio, cfg *config.Config, set *mapping.Set, raw []byte) error {
	o, profile, err := f.rules(cfg)
	if err != nil {
		return err
	}
	if o.Sender = cmp.Or(f.sender, o.Sender); o.Sender != "" && !slices.Contains(set.Senders(), o.Sender) {
		return errUsage{fmt.Errorf("--sender %s: the maps have no senders/%s.yaml", o.Sender, o.Sender)}
	}
	o.Charset = cmp.Or(f.charset, o.Charset)
	if !hl7.Several(raw, o.Charset) {
		return f.oneToFHIR(std, set, o, &profile, raw)
	}
	batch := hl7.Split(raw, o.Charset)
	printIssues(std.err, batch.Issues)
	found := batch.Issues.Worst() != nil
	for i, raw := range batch.Messages {
		err := f.oneToFHIR(std, set, o, &profile, raw)
		if err != nil && !errors.Is(err, errFound) {
			return err
		}
		if err != nil {
			found = true
			fmt.Fprintf(std.err, "(message %d of %d)\n", i+1, len(batch.Messages))
		}
	}
	if found {
		return errFound
	}
	return nil
}

// explained is what --explain prints.
type explained struct {
	*mapping.Trace
	Leaves mapping.Count `json:"leaves"`
	Issues issue.List    `json:"issues"`
}

func (f mapFlags) oneToFHIR(std stdio, set *mapping.Set, o mapping.Options, profile *hl7.Profile, raw []byte) error {
	m, err := hl7.ParseIn(raw, o.Charset)
	if err != nil {
		if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
			fmt.Fprintln(std.err, "(a FHIR Bundle goes out, with --to hl7)")
		}
		return refusal(std, false, issue.From(err))
	}
	res, err := set.ToFHIR(m, o)
	if err != nil {
		return refusal(std, false, issue.From(err))
	}
	issues := slices.Concat(issue.List{}, res.Issues, m.Validate(profile), res.Profile)
	invalid := fhir.Validate(res.Bundle.Root)
	issues = append(issues, invalid...)
	printIssues(std.err, issues)
	if f.explain {
		err = printJSON(std.out, explained{res.Trace, res.Leaves, issues})
	} else {
		err = fhir.WriteIndented(std.out, res.Bundle.Root)
	}
	if err == nil && issues.Worst() != nil {
		err = errFound
	}
	return err
}

// out gives what the message is written for: the chosen destination, with what the flags say otherwise.
func (f mapFlags) out(cfg *config.Config) (mapping.Out, error) {
	o := mapping.Out{ControlID: "MAP1", At: time.Now(), Zone: cfg.Site.Timezone, Sender: mapping.Party{App: "DERMGATE", Facility: cfg.Site.ODS},
		Files: func(string) (fhir.Data, error) {
			return fhir.Data{}, issue.New(issue.NotFound, "Media.content", "a photo that is not in the Bundle")
		}}
	if f.destination != "" {
		i := slices.IndexFunc(cfg.Destinations, func(d config.Destination) bool { return d.Name == f.destination && d.Kind == config.MLLP })
		if i < 0 {
			return o, errUsage{fmt.Errorf("--destination %s: no such mllp destination in the configuration", f.destination)}
		}
		e, err := endpoint(cfg, cfg.Destinations[i])
		if err != nil {
			return o, err
		}
		o.Message, o.Version, o.Charset, o.Strict, o.Limits, o.Lengths = e.Message, e.Version, e.Charset, e.Strict, e.Limits, e.Lengths
		o.Receiver, o.Application = mapping.Party{App: e.App, Facility: e.Facility}, e.Application
	}
	o.Message, o.Version = cmp.Or(f.message, o.Message, "RRI_I12"), cmp.Or(f.version, o.Version, "2.4")
	o.Charset = cmp.Or(f.charset, o.Charset)
	if _, ok := hl7.VersionOf(o.Version); !ok {
		return o, errUsage{fmt.Errorf("--version %s: want one of HL7 v2: %s", o.Version, strings.Join(hl7.Versions, ", "))}
	}
	return o, nil
}

func (f mapFlags) toHL7(std stdio, cfg *config.Config, set *mapping.Set, raw []byte) error {
	o, err := f.out(cfg)
	if err != nil {
		return err
	}
	root, issues := fhir.Read(raw, fhir.ReadOptions{})
	printIssues(std.err, issues)
	if issues.Worst() != nil {
		if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("MSH")) {
			fmt.Fprintln(std.err, "(an HL7 v2 message goes in, with --to fhir)")
		}
		return errFound
	}
	if root.Type().Name != "Bundle" {
		return errUsage{errors.New("want a FHIR Bundle")}
	}
	out, issues, err := set.ToHL7(&fhir.Bundle{Root: root}, o)
	if err != nil {
		return refusal(std, false, issue.From(err))
	}
	printIssues(std.err, issues)
	_, err = out.WriteTo(std.out)
	return err
}

func printIssues(w io.Writer, l issue.List) {
	for _, i := range l {
		fmt.Fprintf(w, "%s: %s\n", i.Severity, i)
	}
}
