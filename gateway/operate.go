package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/gateway/api"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/issue"
)

// operator talks to the admin listener of a running gateway, and to nothing else.
type operator struct {
	std               stdio
	server, token     string
	signIn            string // CIS2 ID token
	caFile, cert, key string
	reason            string
	asJSON            bool
}

// flags adds what every operation needs.
func (o *operator) flags(c *cobra.Command, acts bool) *cobra.Command {
	c.Flags().StringVar(&o.server, "server", "http://127.0.0.1:8081", "admin listener of the gateway")
	c.Flags().StringVar(&o.token, "token", os.Getenv("GATEWAY_TOKEN"), "bearer token (default: $GATEWAY_TOKEN)")
	c.Flags().StringVar(&o.caFile, "ca-file", "", "authority of the gateway's certificate")
	c.Flags().StringVar(&o.cert, "cert-file", "", "client certificate")
	c.Flags().StringVar(&o.key, "key-file", "", "key of the client certificate")
	if acts {
		c.Flags().StringVar(&o.reason, "reason", "", "why: it is kept with your name")
		_ = c.MarkFlagRequired("reason")
	} else {
		c.Flags().BoolVar(&o.asJSON, "json", false, "JSON instead of a table")
	}
	return c
}

// operatorVerbs are the operations against a running gateway.
func operatorVerbs(std stdio) []*cobra.Command {
	return []*cobra.Command{casesVerb(std), traceVerb(std), parkedVerb(std), backupVerb(std), contentVerb(std), replayVerb(std), redirectVerb(std), discardVerb(std),
		resolveVerb(std), releaseVerb(std), answerVerb(std), triageVerb(std), cancelVerb(std), agreeVerb(std), toldVerb(std), waiveVerb(std), tellVerb(std), pauseVerb(std, "pause"), pauseVerb(std, "resume")}
}

func casesVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	var open, work bool
	c := &cobra.Command{Use: "cases", Short: "list the cases, newest change first; with --work, what they cost people beyond asking and answering",
		Example: "  gateway cases --open\n  gateway cases --work", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var out struct {
				Cases []workCase `json:"cases"`
			}
			raw, err := o.call(cmd.Context(), http.MethodPost, "/api/v1/cases/search", map[string]any{"open": open, "limit": map[bool]int{true: mostCases}[work]}, &out)
			if err != nil || o.asJSON {
				return o.raw(raw, err)
			}
			if work {
				return workReport(std, out.Cases)
			}
			w := tabwriter.NewWriter(std.out, 2, 8, 2, ' ', 0)
			fmt.Fprintln(w, "CASE\tKIND\tSTATE\tURGENCY\tASKED BY\tCHANGED\tEXTRA WORK")
			for _, k := range out.Cases {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", k.ID, k.Kind, k.State+map[bool]string{true: " (held for a user)"}[k.ForUser], k.Urgency, k.Organisation, k.Changed.Format(time.DateTime), k.Work.Total)
			}
			return w.Flush()
		}}
	c.Flags().BoolVar(&open, "open", false, "only those that have not ended")
	c.Flags().BoolVar(&work, "work", false, fmt.Sprintf("sum what people had to do beyond asking and answering, over the newest %d", mostCases))
	return o.flags(c, false)
}

// mostCases is as many as the gateway tells of at once.
const mostCases = 1000

func traceVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	c := &cobra.Command{Use: "trace CASE", Short: "the story of a case, and what is on its way", Example: "  gateway trace 07c1d2e3-…", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var out struct {
				ID, Kind, State, Urgency string
				Work                     pathway.Work
				Story                    []flow.Event
				Messages                 []struct {
					ID, Source, Maps string
					flow.Loss
				}
				Deliveries []struct {
					ID, To, What, State, Maps string
					Attempt                   int
					Cause                     *issue.Issue
				}
			}
			raw, err := o.call(cmd.Context(), http.MethodGet, "/api/v1/cases/"+url.PathEscape(args[0]), nil, &out)
			if err != nil || o.asJSON {
				return o.raw(raw, err)
			}
			fmt.Fprintf(std.out, "%s  %s  %s  %s\n", out.ID, out.Kind, out.State, out.Urgency)
			fmt.Fprintf(std.out, "  extra work %s\n", extra(out.Work))
			for _, e := range out.Story {
				fmt.Fprintf(std.out, "  %s  %-10s %s\n", e.At.Format("2006-01-02 15:04:05.000"), e.What, e.Text)
			}
			for _, m := range out.Messages {
				fmt.Fprintf(std.out, "  message %s  from %s%s\n", m.ID, m.Source, byMaps(m.Maps)+left(m.Loss))
			}
			for _, d := range out.Deliveries {
				fmt.Fprintf(std.out, "  delivery %s  %s to %s: %s, attempt %d%s%s\n", d.ID, d.What, d.To, d.State, d.Attempt, byMaps(d.Maps), why(d.Cause))
			}
			return nil
		}}
	return o.flags(c, false)
}

// byMaps names a map set by the beginning of its digest, which is enough to tell it from another.
func byMaps(digest string) string {
	if digest == "" {
		return ""
	}
	return ", maps " + digest[:min(len(digest), 12)]
}

// left tells what the maps left of a message.
func left(l flow.Loss) string {
	if len(l.Unmapped) == 0 {
		return ""
	}
	text := ", unmapped: " + strings.Join(l.Unmapped, " ")
	if l.Leaves != nil && l.Leaves.Unmapped > len(l.Unmapped) {
		text += fmt.Sprintf(" and %d more", l.Leaves.Unmapped-len(l.Unmapped))
	}
	return text
}

func why(i *issue.Issue) string {
	if i == nil {
		return ""
	}
	return " (" + i.Error() + ")"
}

func releaseVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	var merge bool
	var signIn string
	c := &cobra.Command{Use: "release ID", Short: "let a held request, or its photos, go; as a user who has signed in, what is held for one; with --merge a case that a merge has stopped",
		Example: "  gateway release CASE --reason 'consent recorded'\n  gateway release CASE --reason 'signed and sent' --user-token-file id-token.txt", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if signIn != "" {
				b, err := input([]string{signIn}, std.in)
				if err != nil {
					return err
				}
				o.signIn = strings.TrimSpace(string(b))
			}
			more := map[string]any{}
			if merge {
				more["merge"] = true
			}
			return o.act(cmd.Context(), "cases", args[0], "release", more)
		}}
	c.Flags().BoolVar(&merge, "merge", false, "you have made sure whose case it is")
	c.Flags().StringVar(&signIn, "user-token-file", "", "file with your CIS2 ID token (-: standard input): what is held for a user is sent as you")
	return o.flags(c, true)
}

func resolveVerb(std stdio) *cobra.Command {
	o := &operator{std: std}
	var ubrn, about string
	var not bool
	c := &cobra.Command{Use: "resolve ID --ubrn N | --not-created | --case CASE", Short: "say what became of a create whose answer was lost, or whose an answer is that is held",
		Example: "  gateway resolve DELIVERY --ubrn 000000070000 --reason 'seen in e-RS'\n  gateway resolve DELIVERY --case CASE --reason 'the number was mistyped; asked the specialist'", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			more := map[string]any{}
			if ubrn != "" {
				more["ubrn"] = ubrn
			}
			if not {
				more["not_created"] = true
			}
			if about != "" {
				more["case"] = about
			}
			return o.act(cmd.Context(), "deliveries", args[0], "resolve", more)
		}}
	c.Flags().StringVar(&ubrn, "ubrn", "", "it was created, under this number")
	c.Flags().BoolVar(&not, "not-created", false, "it was not created")
	c.Flags().StringVar(&about, "case", "", "it is an answer about this case")
	return o.flags(c, true)
}

func pauseVerb(std stdio, verb string) *cobra.Command {
	o := &operator{std: std}
	c := &cobra.Command{Use: verb + " DEST", Short: verb + " a destination", Example: "  gateway " + verb + " epr --reason 'EPR upgrade'", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.act(cmd.Context(), "destinations", args[0], verb, nil)
		}}
	return o.flags(c, true)
}

// act posts a decision; a new key makes two runs of the command two acts, and one run one act however
// often its request is repeated on the way.
func (o *operator) act(ctx context.Context, what, id, verb string, more map[string]any) error {
	body := map[string]any{"reason": o.reason}
	for k, v := range more {
		body[k] = v
	}
	_, err := o.call(ctx, http.MethodPost, "/api/v1/"+what+"/"+url.PathEscape(id)+"/"+verb, body, nil)
	if err == nil {
		fmt.Fprintln(o.std.err, "done")
	}
	return err
}

func (o *operator) raw(b []byte, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.std.out, "%s\n", b)
	return err
}

// call makes one request and reads its JSON answer; a refusal becomes an error with the server's words.
func (o *operator) call(ctx context.Context, method, path string, body any, out any) ([]byte, error) {
	resp, err := o.send(ctx, method, path, body, time.Minute)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || out == nil {
		return answer, err
	}
	return answer, json.Unmarshal(answer, out)
}

// send makes one request, which with its answer takes at most a time (0: any), and gives an answer that is no refusal.
func (o *operator) send(ctx context.Context, method, path string, body any, most time.Duration) (*http.Response, error) {
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	client.Timeout = most
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(o.server, "/")+path, payload)
	if err != nil {
		return nil, errUsage{fmt.Errorf("--server %s: %w", o.server, err)}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", uuid.NewString())
	if o.token != "" {
		req.Header.Set("Authorization", "Bearer "+o.token)
	}
	if o.signIn != "" {
		req.Header.Set(api.SignInHeader, o.signIn)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no gateway answers at %s: is it running? (%w)", o.server, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return nil, fmt.Errorf("refused (%d): %s", resp.StatusCode, diagnostics(answer))
}

// diagnostics takes the words out of a refusal: our own issues, or an OperationOutcome.
func diagnostics(b []byte) string {
	var o struct {
		Issues issue.List
		Issue  []struct {
			Diagnostics string
			Expression  []string
		}
	}
	if err := json.Unmarshal(b, &o); err == nil {
		for _, i := range o.Issues {
			return i.Error()
		}
		for _, i := range o.Issue {
			return strings.Join(append(i.Expression, i.Diagnostics), ": ")
		}
	}
	return "no reason given"
}

func (o *operator) client() (*http.Client, error) {
	if o.caFile == "" && o.cert == "" {
		return &http.Client{}, nil
	}
	if (o.cert == "") != (o.key == "") {
		return nil, errUsage{errors.New("--cert-file and --key-file go together")}
	}
	conf, err := (&api.Keys{CAFile: o.caFile, CertFile: o.cert, KeyFile: o.key}).Client("")
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: conf()}}, nil
}
