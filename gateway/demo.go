package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/observe"
)

//go:embed demo.yaml
var demoConfig []byte

// demoLimit is how long the demo waits for its cases to end.
const demoLimit = 60 * time.Second

func demoVerb(std stdio) *cobra.Command {
	var once, told bool
	var listen, out, only string
	c := &cobra.Command{
		Use:   "demo",
		Short: "the whole system on this machine: three requests travel and are answered",
		Long: "Run the gateway with simulated GP systems, e-RS, A&G platform, hospital EPR and NHS Notify on loopback, in a temporary\n" +
			"folder. An A&G request with photos (HL7 v2), a routine referral (FHIR) and an urgent suspected cancer referral\n" +
			"(HL7 v2) travel, their answers come home, the patients are told; each case's story is printed as it happens.\n\n" +
			"With --story, conversations that such a gateway must carry to their end: the straightforward ones, and those in\n" +
			"which something is late, wrong, refused or taken back. Each has a gateway and a clock of its own; days pass at once.",
		Example: "  gateway demo                              # and goes on serving\n  gateway demo --once                       # ends when every case has: 0 only if all did\n" +
			"  gateway demo --once --story --out story   # the conversations, and what everybody received as files",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !told && (out != "" || only != "") {
				return errUsage{errors.New("--out and --only go with --story")}
			}
			if told {
				return story(cmd.Context(), std, out, only)
			}
			return demo(cmd.Context(), std, once, listen)
		},
	}
	c.Flags().BoolVar(&once, "once", false, "end when every case has ended")
	c.Flags().BoolVar(&told, "story", false, "the conversations instead; ends when all have: 0 only if each did as it should")
	c.Flags().StringVar(&out, "out", "", "with --story: a folder for what GP system, EPR, e-RS, A&G platform and patient received")
	c.Flags().StringVar(&only, "only", "", "with --story: one of them, by its number (05)")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1", "address of the gateway's listeners (HL7 2575, HTTP 8080, operations 8081; any free ports with --once)")
	return c
}

// outside is the world around the gateway, simulated.
type outside struct {
	token    *sim.Token
	ers      *sim.ERS
	ag       *sim.AGPlatform
	epr      *sim.EPR
	records  *sim.Records // of the hospital, by FHIR
	emis     *sim.GP
	systmone *sim.GP
	notify   *sim.Notify
	mesh     *sim.MESH
	practice *sim.Practice // behind its mailbox
}

// Mailboxes of the simulated MESH.
const (
	ourMailbox      = "RXX01OT001"
	practiceMailbox = "Y06601OT001"
	mailboxPassword = "sim-password"
)

// startOutside starts the simulators on free loopback ports.
func startOutside() (*outside, error) {
	o := &outside{}
	var errs [9]error
	o.token, errs[0] = sim.StartToken("")
	o.ers, errs[1] = sim.StartERS("")
	o.ag, errs[2] = sim.StartAG("")
	o.epr, errs[3] = sim.StartEPR("")
	o.emis, errs[4] = sim.StartGP("")
	o.systmone, errs[5] = sim.StartGP("")
	o.notify, errs[6] = sim.StartNotify("")
	o.mesh, errs[7] = sim.StartMESH("", nil)
	o.records, errs[8] = sim.StartRecords("")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	o.practice = &sim.Practice{ODS: "Y06601"}
	o.mesh.Mailbox(ourMailbox, mailboxPassword, "RXX01", nil)
	o.mesh.Mailbox(practiceMailbox, mailboxPassword, "Y06601", o.practice)
	return o, nil
}

func (o *outside) close() {
	for _, c := range []io.Closer{o.records, o.mesh, o.notify, o.systmone, o.emis, o.epr, o.ag, o.ers, o.token} {
		c.Close()
	}
}

// goBy gives everybody outside a clock.
func (o *outside) goBy(clock func() time.Time) {
	o.token.Now, o.ers.Now, o.ag.Now, o.epr.Now, o.emis.Now, o.systmone.Now, o.notify.Now, o.mesh.Now = clock, clock, clock, clock, clock, clock, clock, clock
}

// env gives the configuration's placeholders.
func (o *outside) env(dir string, ports [3]string) map[string]string {
	token := o.token.Issue()
	return map[string]string{
		"TOKEN_URL": o.token.Endpoint(), "DIR": dir, "MLLP": ports[0], "HTTP": ports[1], "ADMIN": ports[2],
		"ERS": o.ers.Base(), "AG": o.ag.Base(), "EPR": o.epr.Address(), "GP_EMIS": o.emis.Address(), "GP_SYSTMONE": o.systmone.Address(),
		"NOTIFY": o.notify.Base(), "NOTIFY_KEY": o.notify.APIKey, "NOTIFY_SECRET": o.notify.ApplicationID + "." + o.notify.APIKey, "ERS_TOKEN": token,
		"RECORDS": o.records.Base(), "MESH": o.mesh.URL, "MESH_MAILBOX": ourMailbox, "MESH_PASSWORD": mailboxPassword, "MESH_KEY": o.mesh.SharedKey,
	}
}

// connect tells the simulators where the gateway is.
func (o *outside) connect(httpAddress string) {
	fhir := "http://" + httpAddress + "/fhir"
	o.ers.Tokens = o.token
	o.ag.Gateway, o.emis.FHIR, o.systmone.FHIR = fhir, fhir, fhir
	o.notify.Callback, o.notify.Auto = "http://"+httpAddress+"/notify/status", true
}

// demoPorts are the usual ports where they are free, any others for --once.
func demoPorts(host string, once bool) [3]string {
	var out [3]string
	for i, port := range []string{"2575", "8080", "8081"} {
		out[i] = net.JoinHostPort(host, port)
		if l, err := net.Listen("tcp", out[i]); once || err != nil {
			out[i] = net.JoinHostPort(host, "0")
		} else {
			l.Close()
		}
	}
	return out
}

// world is a gateway in this process with its simulated outside.
type world struct {
	*outside
	app *app
	dir string
}

// startWorld builds a gateway by a configuration, wired to simulators; text is its YAML with placeholders.
func startWorld(ctx context.Context, text []byte, ports [3]string, log *slog.Logger) (*world, error) {
	return startWorldBy(ctx, text, ports, log, nil)
}

// startWorldBy is startWorld by a clock that is moved by hand, for everybody in it; nil: the machine's.
func startWorldBy(ctx context.Context, text []byte, ports [3]string, log *slog.Logger, clock *hand) (*world, error) {
	dir, err := os.MkdirTemp("", "dermgate-")
	if err != nil {
		return nil, err
	}
	o, err := startOutside()
	if err != nil {
		return nil, err
	}
	if clock != nil {
		o.goBy(clock.Now)
	}
	env := o.env(dir, ports)
	cfg, err := config.Parse("demo.yaml", text, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		return nil, err
	}
	a, err := buildBy(ctx, cfg, log, clock)
	if err != nil {
		return nil, err
	}
	a.every = 50 * time.Millisecond
	for _, w := range a.workers {
		w.Every = a.every
	}
	o.connect(a.public.Addr().String())
	return &world{o, a, dir}, nil
}

func (w *world) close() {
	w.outside.close()
	os.RemoveAll(w.dir)
}

// mllp is the address where requests are sent.
func (w *world) mllp() string { return w.app.servers[0].Address() }

func demo(ctx context.Context, std stdio, once bool, listen string) error {
	gin.SetMode(gin.ReleaseMode)
	logFile, err := os.CreateTemp("", "dermgate-demo-*.log")
	if err != nil {
		return err
	}
	defer logFile.Close()
	w, err := startWorld(ctx, demoConfig, demoPorts(listen, once), observe.NewLogger(logFile, slog.LevelInfo))
	if err != nil {
		return faults(std, err)
	}
	defer w.close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.app.run(ctx) })
	ended := w.play(ctx, std)
	if once || !ended {
		stop()
	} else {
		w.invite(std, logFile.Name())
	}
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	if !ended {
		fmt.Fprintf(std.err, "not every case has ended; the log is %s\n", logFile.Name())
		return errFound
	}
	if once {
		os.Remove(logFile.Name())
	}
	return nil
}

// play sends the three requests, lets the clinicians do their part and prints the story. It tells whether
// every case ended.
func (w *world) play(ctx context.Context, std stdio) bool {
	limit, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	t := &teller{w: w, out: std.out, cases: map[string]*told{}}
	g, playing := errgroup.WithContext(limit)
	for _, scene := range scenes {
		g.Go(func() error { return scene.play(playing, w, t) })
	}
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var failed error
	for over := false; !over; {
		select {
		case failed = <-done:
			over = true
		case <-tick.C:
			t.tell(ctx)
		}
	}
	for !t.ended() && limit.Err() == nil && failed == nil {
		time.Sleep(50 * time.Millisecond)
		t.tell(ctx)
	}
	t.tell(ctx)
	if failed != nil {
		fmt.Fprintln(std.err, "demo:", failed)
	}
	t.table()
	return failed == nil && t.ended()
}

// invite says where to look next.
func (w *world) invite(std stdio, log string) {
	admin := w.app.admin.Addr().String()
	fmt.Fprintf(std.out, "\nStill serving. In another terminal:\n")
	for _, line := range []string{
		"gateway send --to mllp://" + w.mllp() + " your.hl7",
		"gateway cases --server http://" + admin,
		"gateway trace CASE --server http://" + admin,
		"curl http://" + admin + "/metrics",
		"the log: " + log + ", the data: " + filepath.Clean(w.dir),
	} {
		fmt.Fprintln(std.out, "  "+strings.Replace(line, "gateway ", "go run ./gateway ", 1))
	}
	fmt.Fprintln(std.out, "Ctrl-C ends it.")
}
