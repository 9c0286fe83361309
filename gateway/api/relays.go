package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Relayer takes what people decide about requests that are in e-RS, and relays it there as theirs; flow.Pipeline does.
type Relayer interface {
	Relay(ctx context.Context, id flow.ID, d flow.Decision) error
	Relayed(ctx context.Context, id flow.ID, key string) (flow.Delivery, error) // that was taken under a key; flow.ErrNotFound
	Agree(ctx context.Context, id flow.ID, a flow.Agreement) error
}

// relay takes an act: the answer to advice (A026), the outcome of a triage (A028), the end of a referral (A036). It is on
// record once, however often it is pressed.
func (a *Admin) relay(what string) gin.HandlerFunc {
	verb := strings.TrimPrefix(what, "relay:")
	return func(c *gin.Context) {
		id, ok := found(c)
		if !ok {
			return
		}
		act := func(d decision) flow.Relayed {
			return flow.Relayed{Outcome: d.Outcome, Recommendation: d.Recommendation, Text: d.Text, Priority: d.Priority, Reason: d.Code, OnBehalfOf: d.OnBehalfOf}
		}
		d, by, ok := a.decided(c, verb, decisionKeys[verb], func(d decision) error { return act(d).Check(what) })
		if !ok {
			return
		}
		ctx := c.Request.Context()
		_, err := a.Relays.Relayed(ctx, id, by.Key)
		switch {
		case err != nil && !errors.Is(err, flow.ErrNotFound):
			refuse(c, missing(err, "case"))
			return
		case err != nil && !audited(c, a.Audit, Entry{Verb: verb, What: "case/" + id.String(), Why: by.Reason}):
			return
		}
		err = a.Relays.Relay(ctx, id, flow.Decision{What: what, Act: act(d), Person: by.Person, Reason: by.Reason, Token: c.GetHeader(SignInHeader), Key: by.Key})
		if err != nil {
			refuse(c, missing(err, "case"))
			return
		}
		send(c, http.StatusOK, "application/json", gin.H{"done": verb})
	}
}

// agree takes a referrer's word that the priority of their suspected cancer may be lowered.
func (a *Admin) agree(c *gin.Context) {
	id, ok := found(c)
	if !ok {
		return
	}
	act, ok := a.decide(c, "agree")
	if !ok || !audited(c, a.Audit, Entry{Verb: "agree", What: "case/" + id.String(), Why: act.Reason}) {
		return
	}
	if err := a.Relays.Agree(c.Request.Context(), id, flow.Agreement{Person: act.Person, Reason: act.Reason, Key: act.Key}); err != nil {
		refuse(c, missing(err, "case"))
		return
	}
	send(c, http.StatusOK, "application/json", gin.H{"done": "agree"})
}
