package flow

import (
	"context"
	"crypto/rand"
	"math"
	"sync"
	"time"
)

// Gate is what the replicas of a store share about a destination beside its queue: how many deliveries may begin,
// and whether it answers at all. A destination that fails again and again is left alone but for one delivery at a
// time, the probe, in longer and longer spaces, until one is answered (a circuit breaker).
type Gate interface {
	// Enter asks to begin up to n deliveries; with 0 only what is known of the destination.
	Enter(ctx context.Context, to string, n int, l Limit) (Pass, error)
	// Leave tells how what began came to its end.
	Leave(ctx context.Context, to string, l Limit, e Leaving) (Verdict, error)
}

// Limit is what a destination takes from all replicas together. The zero value limits nothing, and opens the breaker
// when three lanes or ten attempts in a row have failed.
type Limit struct {
	Rate     float64       // deliveries begun a second, evenly spaced; 0: no limit
	Together int           // deliveries under way; 0: no limit
	Lease    time.Duration // how long a permit and a probe last unless kept; 0: 30 s
	Lanes    int           // so many different lanes failed since the last answer: the breaker opens; 0: 3
	Failures int           // or so many attempts; 0: 10
	First    time.Duration // wait before the first probe, doubled for each that fails; 0: 1 s
	Longest  time.Duration // wait between two probes at most; 0: 1 min
}

// Filled gives the limit with its defaults.
func (l Limit) Filled() Limit {
	l.Lease, l.First, l.Longest = or(l.Lease, 30*time.Second), or(l.First, time.Second), or(l.Longest, time.Minute)
	if l.Lanes <= 0 {
		l.Lanes = 3
	}
	if l.Failures <= 0 {
		l.Failures = 10
	}
	return l
}

// Interval is the space between two beginnings; 0 without a rate.
func (l Limit) Interval() time.Duration {
	if l.Rate <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / l.Rate)
}

// Burst is how many may begin at once, so that a high rate can be reached: a twentieth of a second's. Up to 20 a
// second that is one (e-RS: 600 a minute, of which none may come within 83 ms of another).
func (l Limit) Burst() float64 { return math.Max(1, math.Floor(l.Rate/20)) }

// Probing is the wait before the nth probe in a row. Half of it is chance.
func (l Limit) Probing(n int) time.Duration {
	return Backoff{First: l.First, Max: l.Longest}.Delay(n, 0)
}

// Pass is a permit for N deliveries to begin. With none, Wait says when to ask again.
type Pass struct {
	N     int
	Wait  time.Duration
	Token string // of this pass; its permits are numbered from 1 to N
	Probe bool   // the destination does not answer: this one delivery finds out whether it does again
	Open  bool   // it does not answer
	Amiss bool   // it failed since it last answered
}

// Leaving is how permits of a pass, those numbered From to To, come to their end.
type Leaving struct {
	Token    string
	From, To int
	End      End
	Lane     string        // of the delivery that failed
	After    time.Duration // for EndFailed: the destination asked to be left alone so long
}

// End of a permit.
type End string

const (
	EndUnused   End = "unused"   // nothing began, or nothing came to the destination
	EndKept     End = "kept"     // it goes on: the permit lasts a lease from now
	EndAnswered End = "answered" // the destination took or refused it: it is there
	EndFailed   End = "failed"   // the destination is not there, or says so
)

// Verdict is what an end makes of a destination.
type Verdict struct {
	Open    bool
	Wait    time.Duration // until the next probe
	Changed bool          // by this very end, of all those that replicas told
}

// LocalGate is the Gate of a single process.
type LocalGate struct {
	Now   func() time.Time // nil: time.Now
	mu    sync.Mutex
	doors map[string]*door
}

// door is what is known of one destination. adapters/redis/lua/enter.lua and leave.lua do the same.
type door struct {
	next    time.Time            // when the rate's next beginning is, were each as far from the other as it says
	busy    map[permit]time.Time // permits, and when they end
	lanes   map[string]bool      // that failed since the last answer
	row     int                  // attempts that did
	level   int                  // probes that failed, from 1 while the breaker is open
	until   time.Time            // the next probe
	probe   string               // token of the one under way
	probing time.Time            // when it counts as lost
}

type permit struct {
	token string
	n     int
}

var _ Gate = (*LocalGate)(nil)

func (g *LocalGate) door(to string) (*door, time.Time) {
	if g.doors == nil {
		g.doors = map[string]*door{}
	}
	if g.doors[to] == nil {
		g.doors[to] = &door{busy: map[permit]time.Time{}, lanes: map[string]bool{}}
	}
	if g.Now != nil {
		return g.doors[to], g.Now()
	}
	return g.doors[to], time.Now()
}

// Enter is Gate's.
func (g *LocalGate) Enter(_ context.Context, to string, n int, l Limit) (Pass, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d, now := g.door(to)
	l = l.Filled()
	p := Pass{Token: rand.Text(), Open: d.level > 0, Amiss: d.row > 0}
	if n < 1 {
		return p, nil
	}
	if p.Open {
		if p.Wait = d.until.Sub(now); p.Wait <= 0 && d.probe != "" {
			p.Wait = d.probing.Sub(now)
		}
		if p.Wait > 0 {
			return p, nil
		}
		n, p.Probe = min(n, 1), true
	}
	n, p.Wait = d.room(n, l, now)
	if n < 1 {
		p.Probe = false
		return p, nil
	}
	p.N, p.Wait = n, 0
	d.next = later(d.next, now).Add(time.Duration(n) * l.Interval())
	if l.Together > 0 {
		for i := range n {
			d.busy[permit{p.Token, i + 1}] = now.Add(l.Lease)
		}
	}
	if p.Probe {
		d.probe, d.probing = p.Token, now.Add(l.Lease)
	}
	return p, nil
}

// busyWait is how long to wait for a permit that another gives back.
const busyWait = 100 * time.Millisecond

// room gives how many of n may begin, or how long to wait until one may.
func (d *door) room(n int, l Limit, now time.Time) (int, time.Duration) {
	if every := l.Interval(); every > 0 {
		ahead := later(d.next, now).Sub(now)
		room := int(math.Floor(l.Burst() - float64(ahead)/float64(every)))
		if room < 1 {
			return 0, ahead - time.Duration((l.Burst()-1)*float64(every))
		}
		n = min(n, room)
	}
	if l.Together > 0 {
		for p, end := range d.busy {
			if !end.After(now) {
				delete(d.busy, p)
			}
		}
		if n = min(n, l.Together-len(d.busy)); n < 1 {
			return 0, busyWait
		}
	}
	return n, 0
}

// Leave is Gate's.
func (g *LocalGate) Leave(_ context.Context, to string, l Limit, e Leaving) (Verdict, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d, now := g.door(to)
	l = l.Filled()
	if e.End == EndKept {
		d.keep(e, now.Add(l.Lease))
		return Verdict{Open: d.level > 0}, nil
	}
	for i := e.From; i <= e.To; i++ {
		delete(d.busy, permit{e.Token, i})
	}
	if e.End == EndUnused {
		d.next = d.next.Add(-time.Duration(e.To-e.From+1) * l.Interval())
	}
	probe := d.probe != "" && d.probe == e.Token
	if probe {
		d.probe = ""
	}
	v := Verdict{}
	switch e.End {
	case EndAnswered:
		v.Changed = d.level > 0
		d.lanes, d.row, d.level = map[string]bool{}, 0, 0
	case EndFailed:
		d.lanes[e.Lane] = true
		d.row++
		v.Changed = d.level == 0 && (len(d.lanes) >= l.Lanes || d.row >= l.Failures)
		if v.Changed || probe && d.level > 0 {
			d.level++
			d.until = now.Add(max(l.Probing(d.level), e.After))
		}
	}
	if v.Open = d.level > 0; v.Open {
		v.Wait = max(0, d.until.Sub(now))
	}
	return v, nil
}

func (d *door) keep(e Leaving, until time.Time) {
	for i := e.From; i <= e.To; i++ {
		if _, ok := d.busy[permit{e.Token, i}]; ok {
			d.busy[permit{e.Token, i}] = until
		}
	}
	if d.probe != "" && d.probe == e.Token {
		d.probing = until
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
