package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/pathway"
)

// teller prints the stories of the cases as they happen.
type teller struct {
	w     *world
	out   io.Writer
	mu    sync.Mutex
	cases map[string]*told // by case id
}

// told is how far a case's story has been printed.
type told struct {
	label  string
	events int
	record flow.CaseRecord
}

// say prints a line about what somebody outside did.
func (t *teller) say(who, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%s  %-18s %s\n", time.Now().Format("15:04:05.000"), who, what)
}

// tell prints what is new.
func (t *teller) tell(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	records, err := t.w.app.store.Cases(ctx, flow.CaseQuery{})
	if err != nil {
		return
	}
	slices.SortFunc(records, func(a, b flow.CaseRecord) int { return a.Index.Opened.Compare(b.Index.Opened) })
	for _, r := range records {
		k := t.cases[r.ID.String()]
		if k == nil {
			k = &told{label: fmt.Sprintf("case %d %s", len(t.cases)+1, r.Index.Kind)}
			t.cases[r.ID.String()] = k
		}
		k.record = r
		story, err := t.w.app.store.Story(ctx, r.ID)
		if err != nil {
			return
		}
		for _, e := range story[min(k.events, len(story)):] {
			fmt.Fprintf(t.out, "%s  %-18s %-10s %s\n", e.At.Format("15:04:05.000"), k.label, e.What, e.Text)
		}
		k.events = len(story)
	}
}

// ended tells whether every scene's case is there and has ended.
func (t *teller) ended() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.cases {
		if !k.record.Index.Ended {
			return false
		}
	}
	return len(t.cases) >= len(scenes)
}

// table closes the demo: where each case stands, how its photos travelled, whether the patient knows.
func (t *teller) table() {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := tabwriter.NewWriter(t.out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nCASE\tURGENCY\tEND\tPHOTOS SENT\tANSWER\tPATIENT TOLD\tTOOK")
	labels := make([]*told, 0, len(t.cases))
	for _, k := range t.cases {
		labels = append(labels, k)
	}
	slices.SortFunc(labels, func(a, b *told) int { return a.record.Index.Opened.Compare(b.record.Index.Opened) })
	for _, k := range labels {
		var c pathway.Case
		if err := json.Unmarshal(k.record.State, &c); err != nil {
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d of %d\t%s\t%s\t%s\n", k.label, c.Urgency, c.State, len(c.Sendable()), len(c.Sendable())+len(c.Withheld()), c.Outcome.Code, toldOf(c),
			k.record.Index.Changed.Sub(c.Opened).Round(time.Millisecond))
	}
	w.Flush()
}

// toldOf tells which notices the patient had.
func toldOf(c pathway.Case) string {
	out := ""
	for _, o := range c.Obligations {
		mark := o.Notice
		if o.Status != pathway.NoticeTold {
			mark += " " + o.Status
		}
		if out != "" {
			out += ", "
		}
		out += mark
	}
	return out
}
