package flow

import (
	"encoding/json"
	"slices"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Cause is a group of parked deliveries that want the same decision: to one destination, for one cause.
type Cause struct {
	ID     string       `json:"id"` // "g-" and 12 hexadecimal digits, the same for the same destination and cause
	To     string       `json:"to"`
	Cause  *issue.Issue `json:"cause,omitempty"`
	Count  int          `json:"count"`
	What   []string     `json:"what"` // of its deliveries
	Oldest Delivery     `json:"-"`
	Newest Delivery     `json:"-"`
	All    []Delivery   `json:"-"`
}

// Causes groups parked deliveries, largest groups first; within one, in their order.
func Causes(ds []Delivery) []Cause {
	var out []Cause
	at := map[string]int{}
	for _, d := range ds {
		id := causeID(d)
		i, ok := at[id]
		if !ok {
			i = len(out)
			at[id] = i
			out = append(out, Cause{ID: id, To: d.To, Cause: d.Cause, Oldest: d, Newest: d})
		}
		g := &out[i]
		g.Count++
		g.All = append(g.All, d)
		if !slices.Contains(g.What, d.What) {
			g.What = append(g.What, d.What)
		}
		if d.Created.Before(g.Oldest.Created) {
			g.Oldest = d
		}
		if d.Created.After(g.Newest.Created) {
			g.Newest = d
		}
	}
	slices.SortStableFunc(out, func(a, b Cause) int { return b.Count - a.Count })
	return out
}

func causeID(d Delivery) string {
	cause := issue.Issue{}
	if d.Cause != nil {
		cause = *d.Cause
	}
	text, _ := json.Marshal([]string{d.To, string(cause.Kind), cause.Where, cause.Text})
	return "g-" + digest(text)[:12]
}
