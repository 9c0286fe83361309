package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/gateway/flow"
)

// Teller records what a person says about what the patient is owed; flow.Pipeline does.
type Teller interface {
	Say(ctx context.Context, id flow.ID, w flow.Word) error
}

// say takes a person's word about the notices of a case: told, waive or tell. Who has the role referrer acts as a clinician.
func (a *Admin) say(verb string) gin.HandlerFunc {
	return func(c *gin.Context) {
		id, ok := found(c)
		if !ok {
			return
		}
		d, act, ok := a.decided(c, verb, decisionKeys[verb], func(decision) error { return nil })
		if !ok || !audited(c, a.Audit, Entry{Verb: verb, What: "case/" + id.String(), Why: act.Reason}) {
			return
		}
		who, _ := IdentityOf(c.Request.Context())
		err := a.Tell.Say(c.Request.Context(), id, flow.Word{Verb: verb, Person: act.Person, Clinician: who.Is(Referrer), Reason: act.Reason,
			Notices: d.Notices, Code: d.Code, Words: d.Words})
		if err != nil {
			refuse(c, missing(err, "case"))
			return
		}
		send(c, http.StatusOK, "application/json", gin.H{"done": verb})
	}
}
