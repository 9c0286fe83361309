package adaptertest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Gate runs the suite of gates. Each test has a gate of its own: replicas are several values that share one.
func Gate(t *testing.T, open func(t *testing.T) (a, b flow.Gate)) {
	for name, test := range map[string]func(*gated){
		"a rate is shared and evenly spaced":             (*gated).rate,
		"what was not begun is given back":               (*gated).unused,
		"so many together, and no more":                  (*gated).together,
		"a permit of a process that died runs out":       (*gated).lost,
		"lanes that fail open the breaker, one does not": (*gated).opens,
		"attempts that fail open it too":                 (*gated).row,
		"one probe, of all replicas":                     (*gated).probe,
		"a probe that died is made by another":           (*gated).probeLost,
		"an answer closes it, once":                      (*gated).closes,
		"the wait that a destination asks for":           (*gated).asked,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := open(t)
			test(&gated{t, [2]flow.Gate{a, b}})
		})
	}
}

type gated struct {
	*testing.T
	replicas [2]flow.Gate
}

func (g *gated) enter(replica, n int, l flow.Limit) flow.Pass {
	g.Helper()
	p, err := g.replicas[replica].Enter(g.Context(), "ers", n, l)
	if err != nil {
		g.Fatal(err)
	}
	return p
}

func (g *gated) leave(replica int, l flow.Limit, e flow.Leaving) flow.Verdict {
	g.Helper()
	v, err := g.replicas[replica].Leave(g.Context(), "ers", l, e)
	if err != nil {
		g.Fatal(err)
	}
	return v
}

// fail tells failed attempts of lanes, each under a pass of its own.
func (g *gated) fail(replica int, l flow.Limit, lanes ...string) (v flow.Verdict) {
	g.Helper()
	for _, lane := range lanes {
		v = g.leave(replica, l, flow.Leaving{From: 1, To: 1, End: flow.EndFailed, Lane: lane})
	}
	return v
}

func (g *gated) want(what string, got, want any) {
	g.Helper()
	if got != want {
		g.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func (g *gated) rate() {
	l := flow.Limit{Rate: 20}
	var mu sync.Mutex
	var began []time.Time
	var all sync.WaitGroup
	start := time.Now()
	for replica := range g.replicas {
		all.Go(func() {
			for time.Since(start) < 500*time.Millisecond {
				p := g.enter(replica, 4, l)
				if p.N > 1 {
					g.Errorf("%d at once", p.N)
				}
				if p.N == 1 {
					mu.Lock()
					began = append(began, time.Now())
					mu.Unlock()
					continue
				}
				if p.Wait <= 0 || p.Wait > 50*time.Millisecond {
					g.Errorf("a wait of %v at 20 a second", p.Wait)
				}
				time.Sleep(p.Wait)
			}
		})
	}
	all.Wait()
	most := 1 + int(time.Since(start)/(50*time.Millisecond))
	if len(began) < 4 || len(began) > most {
		g.Errorf("%d began in %v, at most %d may", len(began), time.Since(start), most)
	}
	if p := g.enter(0, 4, flow.Limit{Rate: 1000}); p.N != 4 {
		g.Errorf("%d of 4 at a rate of 1000", p.N)
	}
}

func (g *gated) unused() {
	l := flow.Limit{Rate: 0.01, Together: 1}
	p := g.enter(0, 1, l)
	g.want("began", p.N, 1)
	g.want("again", g.enter(1, 1, l).N, 0)
	g.leave(0, l, flow.Leaving{Token: p.Token, From: 1, To: 1, End: flow.EndUnused})
	g.want("given back", g.enter(1, 1, l).N, 1)
}

func (g *gated) together() {
	l := flow.Limit{Together: 3}
	p := g.enter(0, 2, l)
	g.want("first", p.N, 2)
	q := g.enter(1, 2, l)
	g.want("second", q.N, 1)
	if none := g.enter(0, 1, l); none.N != 0 || none.Wait <= 0 {
		g.Fatalf("a fourth: %+v", none)
	}
	g.leave(0, l, flow.Leaving{Token: p.Token, From: 2, To: 2, End: flow.EndAnswered})
	g.want("after one ended", g.enter(0, 2, l).N, 1)
	g.leave(1, l, flow.Leaving{Token: q.Token, From: 1, To: 1, End: flow.EndFailed, Lane: "a"})
	g.want("after one failed", g.enter(0, 2, l).N, 1)
}

func (g *gated) lost() {
	l := flow.Limit{Together: 1, Lease: 600 * time.Millisecond}
	p := g.enter(0, 1, l)
	time.Sleep(350 * time.Millisecond)
	g.leave(0, l, flow.Leaving{Token: p.Token, From: 1, To: 1, End: flow.EndKept})
	time.Sleep(350 * time.Millisecond)
	g.want("while it is kept", g.enter(1, 1, l).N, 0)
	time.Sleep(450 * time.Millisecond)
	g.want("when it has run out", g.enter(1, 1, l).N, 1)
	g.leave(0, l, flow.Leaving{Token: p.Token, From: 1, To: 1, End: flow.EndKept})
	g.want("kept too late", g.enter(0, 1, l).N, 0)
}

func (g *gated) opens() {
	l := flow.Limit{First: time.Hour, Longest: time.Hour}
	v := g.fail(0, l, "a", "a", "a", "a", "b")
	g.want("two lanes open it", v.Open, false)
	if p := g.enter(1, 5, l); p.N != 5 || !p.Amiss || p.Open {
		g.Fatalf("after five failures: %+v", p)
	}
	v = g.fail(1, l, "c")
	if !v.Open || !v.Changed || v.Wait < 29*time.Minute || v.Wait > time.Hour {
		g.Fatalf("the third lane: %+v", v)
	}
	v = g.fail(0, l, "d")
	if !v.Open || v.Changed {
		g.Fatalf("the fourth: %+v", v)
	}
	if p := g.enter(0, 5, l); p.N != 0 || !p.Open || p.Wait < 29*time.Minute {
		g.Fatalf("while it is open: %+v", p)
	}
}

func (g *gated) row() {
	l := flow.Limit{First: time.Hour, Longest: time.Hour}
	for i := range 9 {
		g.want(fmt.Sprint("open after ", i+1), g.fail(i%2, l, "a").Open, false)
	}
	if v := g.fail(0, l, "a"); !v.Open || !v.Changed {
		g.Fatalf("after ten: %+v", v)
	}
}

// open makes a breaker that lets a probe through at once.
func (g *gated) open(l flow.Limit) {
	g.Helper()
	g.fail(0, l, "a", "b", "c")
	time.Sleep(2 * l.First)
}

var soon = flow.Limit{First: time.Millisecond, Longest: time.Hour, Lease: time.Minute}

func (g *gated) probe() {
	g.open(soon)
	for range 2 { // who only asks does not take the probe
		if p := g.enter(1, 0, soon); p.N != 0 || !p.Open || p.Probe {
			g.Fatalf("a question: %+v", p)
		}
	}
	p := g.enter(0, 5, soon)
	if p.N != 1 || !p.Probe {
		g.Fatalf("the probe: %+v", p)
	}
	g.want("a second probe", g.enter(1, 5, soon).N, 0)
	longer := soon
	longer.First = time.Hour
	v := g.leave(0, longer, flow.Leaving{Token: p.Token, From: 1, To: 1, End: flow.EndFailed, Lane: "a"})
	if !v.Open || v.Changed || v.Wait < 29*time.Minute {
		g.Fatalf("the probe failed: %+v", v)
	}
	g.want("until the next", g.enter(1, 5, soon).N, 0)
}

func (g *gated) probeLost() {
	l := soon
	l.Lease = 400 * time.Millisecond
	g.open(l)
	g.want("the probe", g.enter(0, 1, l).Probe, true)
	g.want("while it lasts", g.enter(1, 1, l).N, 0)
	time.Sleep(450 * time.Millisecond)
	p := g.enter(1, 1, l)
	g.want("the probe of another", p.Probe, true)
	// One that found nothing to try leaves the probe to the others.
	g.leave(1, l, flow.Leaving{Token: p.Token, From: 1, To: 1, End: flow.EndUnused})
	g.want("at once", g.enter(0, 1, l).Probe, true)
}

func (g *gated) closes() {
	g.open(soon)
	p := g.enter(0, 1, soon)
	v := g.leave(0, soon, flow.Leaving{Token: p.Token, From: 1, To: 1, End: flow.EndAnswered})
	g.want("closed", v, flow.Verdict{Changed: true})
	v = g.leave(1, soon, flow.Leaving{From: 1, To: 1, End: flow.EndAnswered})
	g.want("closed before", v, flow.Verdict{})
	if q := g.enter(1, 5, soon); q.N != 5 || q.Open || q.Amiss || q.Probe {
		g.Fatalf("when it is closed: %+v", q)
	}
	g.want("it begins afresh", g.fail(0, soon, "a", "b").Open, false)
}

func (g *gated) asked() {
	g.open(soon)
	p := g.enter(0, 1, soon)
	v := g.leave(0, soon, flow.Leaving{Token: p.Token, From: 1, To: 1, End: flow.EndFailed, Lane: "a", After: time.Hour})
	if v.Wait < 59*time.Minute {
		g.Fatalf("a destination that asked for an hour is asked again in %v", v.Wait)
	}
}
