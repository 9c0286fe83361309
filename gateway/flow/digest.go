package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
)

// Digest is the internal destination ToDigest: every working day it tells each owner, once, of all answers that nobody has
// read and that may wait for it. It is one delivery that comes again for ever, so that of many replicas one tells.
type Digest struct {
	P  *Pipeline
	At time.Duration // time of day at the site
}

// mostNamed cases are named in a digest; how many there are is said in any case.
const mostNamed = 20

// Begin puts the delivery into the store, unless it is there. One that was parked goes on.
func (g Digest) Begin(ctx context.Context) error {
	now := g.P.Now()
	return beginForEver(ctx, g.P.Store, Delivery{ID: NewID(0, "digest"), To: ToDigest, Lane: "digest", What: "digest", Due: g.next(now), Created: now})
}

// Deliver tells what there is to tell. An error leaves it to be tried again.
func (g Digest) Deliver(ctx context.Context, _ Delivery, _ func(Step) error) (Outcome, error) {
	now := g.P.Now()
	if g.P.calendar().WorkingDay(now) {
		if err := g.tell(ctx); err != nil {
			return Outcome{}, err
		}
	}
	return Outcome{Result: Again, After: g.next(now).Sub(now)}, nil
}

// next gives the next time of day at which it tells.
func (g Digest) next(now time.Time) time.Time {
	cal := g.P.calendar()
	now = cal.After(now, pathway.Span{})
	at := time.Date(now.Year(), now.Month(), now.Day(), int(g.At/time.Hour), int(g.At/time.Minute)%60, 0, 0, now.Location())
	for !at.After(now) || !cal.WorkingDay(at) {
		at = at.AddDate(0, 0, 1)
	}
	return at
}

func (g Digest) tell(ctx context.Context) error {
	records, err := g.P.Store.Cases(ctx, CaseQuery{Kind: string(pathway.Advice), State: string(pathway.Responded), Open: true, Limit: 10_000})
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	unread := map[string][]string{}
	for _, r := range records {
		var c pathway.Case
		if err := json.Unmarshal(r.State, &c); err != nil {
			return fmt.Errorf("digest: case %s: %w", r.ID, err)
		}
		if c.ReadSoon() {
			continue
		}
		for _, t := range c.Tasks {
			if t.Code == pathway.TaskOverdue && t.Done.IsZero() && !slices.Contains(unread[t.Owner], c.ID) {
				unread[t.Owner] = append(unread[t.Owner], c.ID)
			}
		}
	}
	for _, owner := range slices.Sorted(maps.Keys(unread)) {
		ids := unread[owner]
		slices.Sort(ids)
		text := fmt.Sprintf("%s: %d answers that nobody has read: case %s", owner, len(ids), strings.Join(ids[:min(len(ids), mostNamed)], ", case "))
		if len(ids) > mostNamed {
			text += ", and more"
		}
		g.P.alarm("unread-digest", text)
	}
	return nil
}
