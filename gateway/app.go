package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/errgroup"

	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/adapters/ers"
	"github.com/dermgate/dermgate/adapters/fhirhttp"
	"github.com/dermgate/dermgate/adapters/file"
	"github.com/dermgate/dermgate/adapters/hl7http"
	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/adapters/nhsauth"
	"github.com/dermgate/dermgate/adapters/notify"
	"github.com/dermgate/dermgate/gateway/api"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/observe"
	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/gateway/photoworker"
	"github.com/dermgate/dermgate/mapping/hl7"
)

// app is the gateway wired together: the one place where configuration meets parts.
type app struct {
	cfg      *config.Config
	log      *slog.Logger
	now      func() time.Time
	byHand   func() time.Time // the clock, where it is not the machine's; nil: it is
	every    time.Duration    // how often workers look for due work unasked, and for changed maps
	store    flow.Store
	backup   api.Backup // nil: the store is not a file
	gate     flow.Gate  // what replicas share of a destination beside its queue
	photos   *blob.Store
	leaving  atomic.Bool // it was told to end: /readyz says so
	maps     *siteMaps
	pipeline *flow.Pipeline
	metrics  *observe.Metrics
	audit    *observe.Audit
	alarms   *alarms
	accept   flow.Accept
	workers  map[string]*flow.Dispatcher
	// applications that are registered with token services, and the users who have signed in for a destination's work
	applications map[string]*nhsauth.Client
	sessions     map[string]*nhsauth.Sessions
	servers      []*mllp.Server
	polled       []flow.Source // folders and mailboxes
	lists        []*ers.Worklist
	takers       []*ers.Taker
	mount        []func(gin.IRouter) // routes of sources
	open         []func(gin.IRouter) // routes that know their callers themselves
	public       net.Listener
	admin        net.Listener
}

// build makes the gateway and binds its listeners; nothing is taken in before run.
func build(ctx context.Context, cfg *config.Config, log *slog.Logger) (*app, error) {
	return buildBy(ctx, cfg, log, nil)
}

// buildBy is build with a clock that is moved by hand: all that is due in a case, and the embedded store, go by it. nil:
// the machine's.
func buildBy(ctx context.Context, cfg *config.Config, log *slog.Logger, clock *hand) (*app, error) {
	if faults := cfg.Check(); len(faults) > 0 {
		return nil, faults
	}
	a := &app{cfg: cfg, log: log, now: time.Now, every: time.Second, metrics: observe.NewMetrics(), workers: map[string]*flow.Dispatcher{},
		applications: map[string]*nhsauth.Client{}, sessions: map[string]*nhsauth.Sessions{}}
	if clock != nil {
		a.now, a.byHand = clock.Now, clock.stored
	}
	a.alarms = newAlarms(a)
	for _, step := range []func(context.Context) error{a.openStore, a.openPipeline, a.openDestinations, a.openSources, a.listen} {
		if err := step(ctx); err != nil {
			a.close()
			return nil, err
		}
	}
	return a, nil
}

// close gives back what build took.
func (a *app) close() {
	for _, l := range []net.Listener{a.public, a.admin} {
		if l != nil {
			l.Close()
		}
	}
	if a.store != nil {
		a.store.Close()
	}
	if a.audit != nil {
		a.audit.Close()
	}
	if a.photos != nil {
		a.photos.Close()
	}
}

func (a *app) openPipeline(ctx context.Context) error {
	var err error
	if a.photos, err = openPhotos(ctx, a.cfg); err != nil {
		return err
	}
	if a.maps, err = openMaps(a.cfg, a.log, a.metrics); err != nil {
		return err
	}
	machines, err := pathway.Load()
	if err != nil {
		return err
	}
	if a.audit, err = observe.OpenAudit(auditLog(a.cfg), a.now); err != nil {
		return err
	}
	a.pipeline = &flow.Pipeline{
		Store: a.store, Bodies: bodies{a.photos}, Maps: a.maps.set.Load, Machines: machines.By(a.cfg.Site.Calendar()), Timers: a.cfg.Timers,
		Site:    flow.Site{Name: a.cfg.Site.Name, ODS: a.cfg.Site.ODS, Zone: a.cfg.Site.Timezone, Calendar: a.cfg.Site.Calendar()},
		Sources: map[string]flow.SourceRules{}, Routes: routes(a.cfg),
		Owners: flow.Owners{Provider: a.cfg.Owners.Provider.Name, Deputy: a.cfg.Owners.Provider.Deputy, Operations: a.cfg.Owners.Operations.Name,
			OperationsDeputy: a.cfg.Owners.Operations.Deputy, Practice: a.cfg.Owners.Requester == "practice"},
		Budget: flow.NewBudget(a.cfg.Limits.PixelsAtOnce), Decode: (&photoworker.Decoder{Within: 3 * time.Minute}).Decode, Decodes: photoworker.Taken,
		Secret: a.photos.SearchKey(), Now: a.now, Poke: a.poke,
		Alarm: a.alarms.event, SignedIn: func(to string, work flow.ID, idToken string) { a.signIn(to, work.String(), idToken) },
	}
	a.accept = a.alarms.listen(a.metrics.Accept(a.pipeline.Accept))
	return nil
}

// digest tells each owner once a day of what may wait for it.
func (a *app) digest() flow.Digest { return flow.Digest{P: a.pipeline, At: a.cfg.Alarms.Digest} }

func (a *app) poke(to string) {
	if w := a.workers[to]; w != nil {
		w.Poke()
	}
}

// openDestinations makes a worker for each destination, and for the internal ones.
func (a *app) openDestinations(context.Context) error {
	for _, d := range a.cfg.Destinations {
		e, err := endpoint(a.cfg, d)
		if err != nil {
			return err
		}
		a.pipeline.Endpoints = append(a.pipeline.Endpoints, e)
		adapters, err := a.destinations(d)
		if err != nil {
			return err
		}
		for name, adapter := range adapters {
			a.workers[name] = a.guarded(a.dispatcher(name, adapter, d), d)
		}
		// What a destination answers, in its response or when asked, enters as from a source of its name.
		a.pipeline.Sources[d.Name] = flow.SourceRules{Name: d.Name, Answers: true, Checks: flow.Checks{Photo: flow.Warn, NHSNumber: flow.Warn}}
	}
	a.workers[flow.ToCase] = a.dispatcher(flow.ToCase, flow.Applier{P: a.pipeline}, config.Destination{Concurrency: 4})
	a.workers[flow.ToPhotos] = a.dispatcher(flow.ToPhotos, flow.Fitter{P: a.pipeline}, config.Destination{Concurrency: runtime.GOMAXPROCS(0) + 1}) // one place is for suspected cancer alone
	a.workers[flow.ToAlarm] = a.dispatcher(flow.ToAlarm, webhook{a.cfg.Alarms.Webhook, &http.Client{Timeout: 10 * time.Second}}, config.Destination{Concurrency: 2})
	a.workers[flow.ToAlarm].Backoff.Within = 24 * time.Hour
	a.workers[flow.ToDigest] = a.dispatcher(flow.ToDigest, a.digest(), config.Destination{Concurrency: 1})
	a.workers[flow.ToPrune] = a.dispatcher(flow.ToPrune, a.retention(), config.Destination{Concurrency: 1})
	a.workers[flow.ToClock] = a.dispatcher(flow.ToClock, flow.Clock{P: a.pipeline}, config.Destination{Concurrency: 2})
	return nil
}

func (a *app) openSources(context.Context) error {
	for _, s := range a.cfg.Sources {
		rules, err := sourceRules(a.cfg, s)
		if err != nil {
			return fmt.Errorf("source %s: %w", s.Name, err)
		}
		a.pipeline.Sources[s.Name] = rules
		if err := a.openSource(s); err != nil {
			return fmt.Errorf("source %s: %w", s.Name, err)
		}
	}
	for _, d := range a.cfg.Destinations {
		if d.Kind == config.Notify && d.Callback != nil {
			cb, err := callback(d, a.now)
			if err != nil {
				return fmt.Errorf("destination %s: %w", d.Name, err)
			}
			a.open = append(a.open, func(r gin.IRouter) { cb.Routes(r, a.accept) })
		}
	}
	return nil
}

func (a *app) openSource(s config.Source) error {
	switch s.Kind {
	case config.MLLP:
		return a.openMLLP(s)
	case config.FHIR:
		src := &fhirhttp.Source{Name: s.Name, Limit: a.cfg.Limits.MessageBytes, Lift: a.lift(""), Subject: subject, Now: a.now}
		a.mount = append(a.mount, func(r gin.IRouter) { src.Routes(r, a.accept) })
	case config.HL7HTTP:
		src := &hl7http.Source{Name: s.Name, Limit: a.cfg.Limits.MessageBytes, Lift: a.lift(s.Charset), Subject: subject, Now: a.now}
		a.mount = append(a.mount, func(r gin.IRouter) { src.Routes(r, a.accept) })
	case config.File:
		src := &file.Source{Name: s.Name, Path: s.Path, Poll: s.Poll, Settle: s.Settle, Limit: a.cfg.Limits.MessageBytes,
			Subject: flow.Subject{Organisation: s.Organisation}, Log: a.log, Now: a.now}
		a.polled = append(a.polled, src)
		return src.Open()
	case config.ERSWorklist:
		return a.openWorklist(s)
	case config.MESH:
		return a.openMESH(s)
	}
	return nil
}

// lift reads messages with their photos going to the blob store, but for a source whose characters may hold
// delimiter bytes: its fields are known only once it was transcoded.
func (a *app) lift(charset string) flow.Lift {
	if charset != "" && !hl7.InPlace(charset) {
		return nil
	}
	return bodies{a.photos}.lift(a.cfg.Limits.MessageBytes)
}

func (a *app) openMLLP(s config.Source) error {
	server := &mllp.Server{Name: s.Name, Addr: s.Listen, Allow: s.Allow, AllowNames: s.AllowNames, MaxMessage: a.cfg.Limits.MessageBytes,
		MaxConns: s.Connections, MaxConnsPerPeer: s.PerAddress, Lift: a.lift(s.Charset),
		DrainTimeout: a.cfg.Shutdown.Grace, WhenDown: mllp.WhenDown(s.Acknowledge.WhenDown), Enhanced: s.Acknowledge.Mode == config.Enhanced, Log: a.log, Now: a.now}
	if s.TLS != nil {
		conf, err := a.keys(s.TLS).Server(s.TLS.ClientCAFile != "")
		if err != nil {
			return err
		}
		server.TLS = conf
	}
	if len(s.Proxies) > 0 {
		var err error
		if server.Listener, err = behindProxies(s.Listen, s.Proxies); err != nil {
			return err
		}
	}
	a.servers = append(a.servers, server)
	return server.Listen()
}

// callback takes NHS Notify's status reports; its secret is "<application id>.<api key>".
func callback(d config.Destination, now func() time.Time) (*notify.Callback, error) {
	key, err := d.Callback.APIKey.Read()
	if err != nil {
		return nil, err
	}
	secret, err := d.Callback.Secret.Read()
	if err != nil {
		return nil, err
	}
	id, ok := strings.CutSuffix(secret, "."+key)
	if !ok {
		return nil, fmt.Errorf("callback.secret is the application id, a dot, and callback.api_key")
	}
	return &notify.Callback{Name: d.Name, ApplicationID: id, APIKey: key, Now: now}, nil
}

func (a *app) listen(context.Context) error {
	var err error
	if a.public, err = a.listener(a.cfg.HTTP); err != nil {
		return fmt.Errorf("http: %w", err)
	}
	if a.admin, err = a.listener(a.cfg.Admin); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

// run works until ctx ends, then gives notice, finishes what has begun and closes the store. Deliveries are claimed no
// more from the beginning of the notice: other replicas do.
func (a *app) run(ctx context.Context) error {
	defer a.close()
	public, admin, err := a.handlers()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	serving, stop := context.WithCancel(context.WithoutCancel(ctx)) // ends a notice later
	g.Go(func() error { defer stop(); a.giveNotice(ctx); return nil })
	for _, s := range a.servers {
		g.Go(func() error { return s.Serve(serving, a.accept) })
	}
	for _, s := range a.polled {
		g.Go(func() error { return s.Serve(ctx, a.accept) })
	}
	g.Go(func() error { return api.Serve(serving, a.public, a.lastAnswers(public), a.log) })
	g.Go(func() error { return api.Serve(serving, a.admin, admin, a.log) })
	names := make([]string, 0, len(a.workers))
	for name, w := range a.workers {
		if name != flow.ToPrune && name != flow.ToDigest { // they wait for their hour for ever
			names = append(names, name)
		}
		g.Go(func() error { return w.Run(ctx) })
	}
	slices.Sort(names)
	g.Go(func() error { return a.begin(ctx, "retention", a.retention().Begin) })
	g.Go(func() error { return a.begin(ctx, "digest", a.digest().Begin) })
	for _, l := range a.lists {
		g.Go(func() error { return a.begin(ctx, "worklists", l.Begin) })
	}
	g.Go(func() error { a.alarms.watch(ctx, 10*time.Second); return nil })
	g.Go(func() error { a.maps.watch(ctx, a.every); return nil })
	g.Go(func() error { a.metrics.Watch(ctx, a.store, names, 15*time.Second); return nil })
	a.log.Info("serving", "address", a.public.Addr().String(), "listen", a.admin.Addr().String(), "digest", a.audit.Head().Hash)
	err = g.Wait()
	a.log.Info("stopped", "digest", a.audit.Head().Hash)
	return err
}
