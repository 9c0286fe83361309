package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// mostParked is how many parked deliveries are looked at: beyond that the groups are those of the oldest.
const mostParked = 10_000

// replayRate is how many of a group go a second when nothing else is said: what has just come back is not overrun.
const replayRate = 10

// groupPattern is the id of a group (flow.Cause).
var groupPattern = regexp.MustCompile(`^g-[0-9a-f]{12}$`)

// Preview is what an act on a parked delivery would do. It shows nothing of the content.
type Preview struct {
	Verb   string       `json:"verb"`
	To     string       `json:"to"`               // where it would go
	Key    string       `json:"key"`              // under which control id or request id
	SHA256 string       `json:"sha256,omitempty"` // of what would be sent
	Bytes  int64        `json:"bytes"`
	Parts  int          `json:"parts"`
	Same   bool         `json:"same"`            // the bytes and the key are those that were parked
	Maps   string       `json:"maps,omitempty"`  // digest of the set that it was, or would be, translated with
	Steps  []string     `json:"steps,omitempty"` // calls that are done and are not made again
	Cause  *issue.Issue `json:"cause,omitempty"` // why it is parked
	Behind int          `json:"behind"`          // deliveries of its case to its destination that wait or are parked besides
	Repeat string       `json:"repeat"`          // what the other side makes of it when it has it already
}

// groupView is a group of parked deliveries for people.
type groupView struct {
	flow.Cause
	Oldest time.Time `json:"oldest"` // when its oldest was made
	Newest time.Time `json:"newest"`
}

// parkedView is a parked delivery with its group.
type parkedView struct {
	deliveryView
	Group string `json:"group"`
}

// mostShown is how many parked deliveries are listed beside their groups.
const mostShown = 1000

// parked groups what is parked for one destination, or for all: the gateway's own work too, such as answers that are held,
// news that could not be applied, and photos that could not be made to fit.
func (a *Admin) parked(ctx context.Context, to string) ([]flow.Cause, error) {
	names := []string{to}
	if to == "" {
		names = append(names, flow.Own()...)
	}
	var all []flow.Delivery
	for _, name := range names {
		ds, err := a.Messages.Deliveries(ctx, flow.DeliveryQuery{State: flow.Parked, To: name, Limit: mostParked})
		if err != nil {
			return nil, missing(err, "delivery")
		}
		all = append(all, ds...)
	}
	return flow.Causes(all), nil
}

// listParked groups what is parked by destination and cause: what was mended once is replayed at once.
func (a *Admin) listParked(c *gin.Context) {
	for name := range c.Request.URL.Query() {
		if name != "to" {
			refuse(c, issue.New(issue.Structure, "", "parked deliveries are narrowed by to"))
			return
		}
	}
	groups, err := a.parked(c.Request.Context(), c.Query("to"))
	if err != nil {
		refuse(c, err)
		return
	}
	views, all := make([]groupView, len(groups)), []parkedView{}
	for i, g := range groups {
		views[i] = groupView{Cause: g, Oldest: g.Oldest.Created, Newest: g.Newest.Created}
		for _, v := range viewDeliveries(g.All[:min(len(g.All), mostShown-len(all))]) {
			all = append(all, parkedView{v, g.ID})
		}
	}
	send(c, http.StatusOK, "application/json", gin.H{"groups": views, "deliveries": all})
}

// actOnGroup acts on all of a group, one after another. Who presses it has seen how many there are; more than that are
// not touched. Pressed twice it acts once; broken off by the store, pressed again it goes on.
func (a *Admin) actOnGroup(verb string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if !groupPattern.MatchString(c.Param("id")) {
			refuse(c, issue.New(issue.Structure, "id", "a group is g- and 12 hexadecimal digits"))
			return
		}
		d, act, ok := a.decideAll(c, verb)
		if !ok {
			return
		}
		groups, err := a.parked(c.Request.Context(), "")
		if err != nil {
			refuse(c, err)
			return
		}
		var all []flow.Delivery
		for _, g := range groups {
			if g.ID == c.Param("id") {
				all = g.All
			}
		}
		if len(all) > d.Expect {
			refuse(c, issue.New(issue.Conflict, "expect", fmt.Sprintf("there are %d of them now: look again", len(all))))
			return
		}
		if !audited(c, a.Audit, Entry{Verb: verb, What: fmt.Sprintf("parked/%s (%d)", c.Param("id"), len(all)), Why: act.Reason}) {
			return
		}
		done, failed, err := a.actOnAll(c.Request.Context(), all, act, cmp.Or(d.Rate, replayRate))
		if err != nil {
			refuse(c, err)
			return
		}
		send(c, http.StatusOK, "application/json", gin.H{"done": verb, "count": done, "failed": failed})
	}
}

// failure is why one of a group was left as it is.
type failure struct {
	ID    flow.ID      `json:"id"`
	Cause *issue.Issue `json:"cause"`
}

func (a *Admin) actOnAll(ctx context.Context, all []flow.Delivery, act Act, rate float64) (done int, failed []failure, err error) {
	failed = []failure{}
	key := act.Key
	for _, d := range all {
		act.ID, act.Key = d.ID, key+":"+d.ID.String()
		if act.Verb != "discard" {
			act.After = time.Duration(float64(done) / rate * float64(time.Second))
		}
		err := a.Acts.Act(ctx, act)
		if err == nil {
			done++
			continue
		}
		if err = missing(err, "delivery"); issue.From(err).Kind == issue.Unavailable || ctx.Err() != nil {
			return done, failed, errors.Join(err, ctx.Err())
		}
		failed = append(failed, failure{d.ID, issue.From(err)})
	}
	return done, failed, nil
}

// previewAct says what an act would do, and does nothing.
func (a *Admin) previewAct(c *gin.Context) {
	id, ok := found(c)
	if !ok {
		return
	}
	var d struct {
		Verb, To, Content string
		Translate         bool
	}
	err := body(c, &d, "verb", "to", "translate", "content")
	if err == nil && d.Verb != "replay" && d.Verb != "redirect" && d.Verb != "discard" {
		err = issue.New(issue.Code, "verb", "previewed are replay, redirect and discard")
	}
	if err == nil {
		err = complete(d.Verb, decision{To: d.To, Content: d.Content, Translate: d.Translate})
	}
	if err != nil {
		refuse(c, err)
		return
	}
	p, err := a.Acts.Preview(c.Request.Context(), Act{Act: flow.Act{Verb: d.Verb, ID: id, To: d.To, Key: "preview"}, Translate: d.Translate, Content: d.Content})
	if err != nil {
		refuse(c, missing(err, "delivery"))
		return
	}
	send(c, http.StatusOK, "application/json", p)
}

// contentOf gives the bytes of a delivery, to be looked at or edited.
func (a *Admin) contentOf(c *gin.Context) {
	id, ok := found(c)
	if !ok || !audited(c, a.Audit, Entry{Verb: "read-content", What: "delivery/" + id.String()}) {
		return
	}
	b, mediaType, err := a.Acts.Content(c.Request.Context(), id)
	if err != nil {
		refuse(c, missing(err, "delivery"))
		return
	}
	c.Header("Cache-Control", "no-store")
	c.Data(http.StatusOK, mediaType, b)
}
