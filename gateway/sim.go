package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dermgate/dermgate/adapters/sim"
)

// simulator is a stand-in of adapters/sim as a command.
type simulator struct {
	name, short string
	does        string // what it answers and checks
	leaves      string // what it does not check
	example     string
	listen      string // unless --listen says otherwise
	flags       func(*pflag.FlagSet)
	start       func(listen string, log io.Writer) (simRunning, error)
}

// simRunning is a simulator that has started.
type simRunning struct {
	io.Closer   `json:"-"`
	Name        string   `json:"name"`
	Base        string   `json:"base"`        // what a client is configured with
	Credentials string   `json:"credentials"` // what a client shows
	Accepts     []string `json:"accepts"`
	Control     string   `json:"control"` // what it is told by
	Tells       string   `json:"tells,omitempty"`
}

// callsKept is how many calls a simulator remembers; it may run for days.
const callsKept = 1000

// simVerb is the parent of all simulators.
func simVerb(std stdio) *cobra.Command {
	c := &cobra.Command{
		Use:   "sim NAME",
		Short: "stand-ins for the systems outside: ers, ag, epr, gp, notify, mesh, token, or all of them",
		Long: "Simulators of the systems around the gateway, to test against: each keeps what it is told, checks what it is sent, answers as\n" +
			"is published, fails on demand, and lets a person play the other side by HTTP under /sim. Any client may use them, ours or not.\n" +
			"docs/simulators.md has a session to paste for each.",
		Example: "  gateway sim all                        # what gateway.example.yaml expects, in one process\n  gateway sim ers --fault call=A044,status=503,retryAfter=2,times=3",
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errUsage{fmt.Errorf("sim %q: want %s or all", args[0], strings.Join(simNames(), ", "))}
			}
			return errUsage{errors.New("sim: want one of " + strings.Join(simNames(), ", ") + ", or all; --help says more")}
		},
	}
	for _, make := range simulators {
		c.AddCommand(simCommand(std, make()))
	}
	c.AddCommand(simAll(std))
	return c
}

// simulators make each a simulator with options of its own.
var simulators = []func() simulator{simToken, simERS, simAG, simEPR, simGP, simNotify, simMESH}

func simNames() (out []string) {
	for _, make := range simulators {
		out = append(out, make().name)
	}
	return out
}

func simCommand(std stdio, s simulator) *cobra.Command {
	var listen string
	var quiet, asJSON bool
	c := &cobra.Command{
		Use:     s.name,
		Short:   s.short,
		Long:    s.does + "\n\nIt does not check: " + s.leaves,
		Example: s.example,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := std.err
			if quiet {
				log = io.Discard
			}
			r, err := s.start(listen, &lineWriter{to: log})
			if err != nil {
				return err
			}
			return serveSims(cmd.Context(), std, asJSON, r)
		},
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", s.listen, "where to listen; port 0: any free one")
	f.BoolVarP(&quiet, "quiet", "q", false, "no line on stderr for each call")
	f.BoolVar(&asJSON, "json", false, "print what was started as one JSON object a line")
	s.flags(f)
	return c
}

// simAll starts every simulator at its usual address.
func simAll(std stdio) *cobra.Command {
	var quiet, asJSON bool
	var set []string
	c := &cobra.Command{
		Use:   "all",
		Short: "every simulator at its usual address: what gateway.example.yaml expects",
		Long: "Start every simulator in one process, each at the address that it has by itself, as gateway.example.yaml expects them.\n" +
			"Answers and reports go to a gateway at 127.0.0.1: HTTP 8080, MLLP 2575 and 2576. Each takes any bearer token.\n\n" +
			"It does not check: what each of them does not; gateway sim NAME --help says it.",
		Example: "  gateway sim all\n  gateway serve -c gateway.example.yaml                        # in a second terminal\n" +
			"  gateway send --to mllp://127.0.0.1:2575 fixtures/messages/advice.hl7   # in a third",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := std.err
			if quiet {
				log = io.Discard
			}
			all, err := startAll(set, &lineWriter{to: log})
			if err != nil {
				closeSims(all)
				return err
			}
			return serveSims(cmd.Context(), std, asJSON, all...)
		},
	}
	c.Flags().StringArrayVar(&set, "set", nil, "a flag of one of them: NAME.FLAG=VALUE, such as ers.listen=127.0.0.1:3591 (again for more)")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "no line on stderr for each call")
	c.Flags().BoolVar(&asJSON, "json", false, "print what was started as one JSON object a line")
	return c
}

// startAll starts every simulator with its defaults and what is set over them. It gives those that started, also with an error.
func startAll(set []string, log io.Writer) ([]simRunning, error) {
	made, flags, listen := []simulator{}, map[string]*pflag.FlagSet{}, map[string]*string{}
	for _, make := range simulators {
		s := make()
		f := pflag.NewFlagSet(s.name, pflag.ContinueOnError)
		listen[s.name] = f.String("listen", s.listen, "")
		s.flags(f)
		made, flags[s.name] = append(made, s), f
	}
	for _, one := range set {
		name, rest, _ := strings.Cut(one, ".")
		flag, value, ok := strings.Cut(rest, "=")
		f := flags[name]
		if f == nil || !ok {
			return nil, errUsage{fmt.Errorf("--set %q: want NAME.FLAG=VALUE, NAME one of %s", one, strings.Join(simNames(), ", "))}
		}
		if err := f.Set(flag, value); err != nil {
			return nil, errUsage{fmt.Errorf("--set %q: %v", one, err)}
		}
	}
	var all []simRunning
	for _, s := range made {
		r, err := s.start(*listen[s.name], log)
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

func closeSims(all []simRunning) {
	for _, r := range all {
		r.Close()
	}
}

// serveSims says what was started, waits for the end and stops it.
func serveSims(ctx context.Context, std stdio, asJSON bool, all ...simRunning) error {
	defer closeSims(all)
	for _, r := range all {
		if asJSON {
			if err := json.NewEncoder(std.out).Encode(r); err != nil {
				return err
			}
			continue
		}
		r.print(std.out)
	}
	if !asJSON {
		fmt.Fprintln(std.out, "Ctrl-C ends it.")
	}
	<-ctx.Done()
	return nil
}

func (r simRunning) print(out io.Writer) {
	fmt.Fprintf(out, "%-7s %s\n", r.Name, r.Base)
	for _, l := range [][2]string{{"credentials", r.Credentials}, {"accepts", strings.Join(r.Accepts, ", ")}, {"tells", r.Tells}, {"control", r.Control}} {
		if l[1] != "" {
			fmt.Fprintf(out, "        %-11s %s\n", l[0], l[1])
		}
	}
	if host, _, err := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(r.Control, "http://"), "https://")); err == nil && !isLoopback(host) {
		fmt.Fprintf(out, "        %-11s %s\n", "beware", "it listens off loopback, and whoever reaches it may read and change what it has")
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// lineWriter writes whole lines of several simulators.
type lineWriter struct {
	mu sync.Mutex
	to io.Writer
}

// Write writes one line.
func (l *lineWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(b)
}

// logCalls writes a line for each call. What a query says stays out of it.
func logCalls(name string, log io.Writer) func(sim.Call) {
	return func(c sim.Call) {
		path, _, _ := strings.Cut(c.Path, "?")
		status := fmt.Sprint(c.Status)
		if c.Status == 0 {
			status = "dropped"
		}
		fmt.Fprintf(log, "%-7s %-16s %s %s %d bytes: %s\n", name, c.Name, c.Method, path, c.Size, status)
	}
}

// logMessages writes a line for each HL7 message.
func logMessages(name string, log io.Writer) func(sim.Message, string) {
	return func(m sim.Message, code string) {
		if code == "" {
			code = "no answer"
		}
		fmt.Fprintf(log, "%-7s %-16s %s %d bytes: %s\n", name, m.Type, m.Control, len(m.Raw), code)
	}
}
