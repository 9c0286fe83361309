package ers

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// elsewhere is the step of a delivery that was held for a user: they did in their own e-RS session what it asks for.
const elsewhere = "elsewhere"

// another is how long the gateway in whose memory a sign-in is has to take the delivery, before it is held for a user anew:
// that one may have stopped.
const another = 30 * time.Second

// asUser gives the destination as the user who has signed in for a delivery's case.
func (d *Destination) asUser(del flow.Delivery) *Destination {
	if d.User == nil {
		return d
	}
	as := d.as(d.Client)
	as.user = true
	as.Token = func(ctx context.Context, refused string) (string, error) {
		token, err := d.User.Token(ctx, del.Case.String(), refused)
		if err == nil && token == "" && d.elsewhere.signedIn(del, d.now()) {
			return "", errElsewhere
		}
		return token, err
	}
	return as
}

// as gives the destination with another client.
func (d *Destination) as(c Client) *Destination {
	return &Destination{Client: c, OpenBody: d.OpenBody, OpenPart: d.OpenPart, Service: d.Service, Specialty: d.Specialty, ClinicType: d.ClinicType,
		Reference: d.Reference, Now: d.Now}
}

// errElsewhere says that the sign-in is in the memory of another gateway.
var errElsewhere = errors.New("e-RS: the user's sign-in is held by another gateway")

// forgetful lets go of a user's sign-in once the work that it was for is done.
func (d *Destination) forgetful(del flow.Delivery, o flow.Outcome) {
	if n := o.Facts[FactPhotos]; d.User != nil && o.Result == flow.Delivered && (n == "" || n == "0") {
		d.User.Forget(del.Case.String())
	}
}

// noUser says what becomes of a call without a user's token.
func noUser() *stop {
	return stopped(flow.Held, issue.New(issue.Denied, flow.ForUser, "e-RS takes this from a user alone who has signed in"))
}

// elsewheres remembers since when deliveries have been seen whose users signed in at another gateway.
type elsewheres struct {
	mu   sync.Mutex
	seen map[flow.ID]time.Time
}

// signedIn tells whether a sign-in for a delivery may be in the memory of another gateway, which should take it.
func (e *elsewheres) signedIn(del flow.Delivery, now time.Time) bool {
	i := slices.IndexFunc(del.Steps, func(s flow.Step) bool { return s.Name == flow.SignedIn })
	if i < 0 {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, since := range e.seen {
		if now.Sub(since) > time.Hour {
			delete(e.seen, id)
		}
	}
	since, known := e.seen[del.ID]
	if !known || since.Before(del.Steps[i].At) { // signed in anew
		if e.seen == nil {
			e.seen = map[flow.ID]time.Time{}
		}
		e.seen[del.ID], since = now, now
	}
	return now.Sub(since) < another
}
