package api

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// decision is the body of an act.
type decision struct {
	Reason     string `json:"reason"`
	To         string `json:"to"`
	Translate  bool   `json:"translate"`
	UBRN       string `json:"ubrn"`
	NotCreated bool   `json:"not_created"`
	Case       string `json:"case"`
	Merge      bool   `json:"merge"`
	Content    string `json:"content"`

	Notices []string `json:"notices"` // told, waive, tell: "N4"
	Code    string   `json:"code"`    // waive, cancel: why, coded
	Words   string   `json:"words"`   // tell: what the patient reads

	// answer, triage, cancel: in the words of e-RS (flow.Relayed)
	Outcome        string `json:"outcome"`
	Recommendation string `json:"recommendation"`
	Text           string `json:"text"`
	Priority       string `json:"priority"`
	OnBehalfOf     string `json:"on_behalf_of"`

	Expect int     `json:"expect"` // of a group: as many as the person has seen
	Rate   float64 `json:"rate"`   // of a group: a second
}

// decisionKeys are what the body of a verb may hold beside the reason.
var decisionKeys = map[string][]string{
	"replay":   {"to", "translate", "content"},
	"redirect": {"to", "translate"},
	"resolve":  {"ubrn", "not_created", "case"},
	"release":  {"merge"},
	"told":     {"notices"},
	"waive":    {"notices", "code"},
	"tell":     {"notices", "words"},
	"answer":   {"outcome", "recommendation", "text", "priority", "on_behalf_of"},
	"triage":   {"outcome", "text", "priority", "on_behalf_of"},
	"cancel":   {"code", "text", "on_behalf_of"},
}

// groupKeys are what the body of a verb about a group may hold beside the reason.
var groupKeys = map[string][]string{
	"replay":   {"expect", "rate", "to", "translate"},
	"redirect": {"expect", "rate", "to", "translate"},
	"discard":  {"expect"},
}

// keyPattern is an idempotency key: visible ASCII, such as a UUID made when the button was drawn.
var keyPattern = regexp.MustCompile(`^[!-~]{8,128}$`)

// namePattern is that of configured names.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// ubrnPattern: a UBRN has 12 digits (e-RS A005).
var ubrnPattern = regexp.MustCompile(`^\d{12}$`)

// decide reads who decides what and why; false when something is missing and the request is refused.
func (a *Admin) decide(c *gin.Context, verb string) (Act, bool) {
	_, act, ok := a.decided(c, verb, decisionKeys[verb], func(d decision) error { return complete(verb, d) })
	return act, ok
}

// decideAll is decide for a group.
func (a *Admin) decideAll(c *gin.Context, verb string) (decision, Act, bool) {
	return a.decided(c, verb, groupKeys[verb], func(d decision) error {
		switch {
		case d.Expect < 1:
			return issue.New(issue.Required, "expect", "how many of them have you seen?")
		case d.Rate < 0 || d.Rate > 1000:
			return issue.New(issue.Value, "rate", "a number a second, up to 1000")
		}
		return complete(verb, d)
	})
}

func (a *Admin) decided(c *gin.Context, verb string, keys []string, complete func(decision) error) (decision, Act, bool) {
	var d decision
	err := body(c, &d, append([]string{"reason"}, keys...)...)
	key := c.GetHeader("Idempotency-Key")
	switch {
	case err != nil:
	case strings.TrimSpace(d.Reason) == "" || len(d.Reason) > 500:
		err = issue.New(issue.Required, "reason", "an act needs a reason, of at most 500 characters")
	case !keyPattern.MatchString(key):
		err = issue.New(issue.Required, "Idempotency-Key", "an act needs a key of 8 to 128 characters, so that pressed twice it acts once")
	default:
		err = complete(d)
	}
	if err != nil {
		refuse(c, err)
		return d, Act{}, false
	}
	who, _ := IdentityOf(c.Request.Context())
	var about flow.ID
	if d.Case != "" {
		if about, err = flow.ParseID(d.Case); err != nil {
			refuse(c, issue.New(issue.Structure, "case", "an id is a UUID"))
			return d, Act{}, false
		}
	}
	act := flow.Act{Verb: verb, To: d.To, Person: who.Name, Reason: d.Reason, Key: key, At: a.Now()}
	return d, Act{Act: act, Translate: d.Translate, UBRN: d.UBRN, NotCreated: d.NotCreated, Merge: d.Merge, Content: d.Content, Case: about}, true
}

// complete tells what a verb still needs to know.
func complete(verb string, d decision) error {
	switch {
	case verb == "redirect" && d.To == "":
		return issue.New(issue.Required, "to", "redirect to which destination?")
	case d.Translate && d.Content != "":
		return issue.New(issue.Conflict, "content", "either translated again, or edited")
	case verb == "resolve" && d.Case != "" && (d.UBRN != "" || d.NotCreated), verb == "resolve" && d.Case == "" && (d.UBRN != "") == d.NotCreated:
		return issue.New(issue.Required, "ubrn", "resolve with the ubrn it was created under, with not_created, or with the case that a held answer is about")
	case d.UBRN != "" && !ubrnPattern.MatchString(d.UBRN):
		return issue.New(issue.Value, "ubrn", "a UBRN has 12 digits")
	}
	return nil
}

func (a *Admin) actOnDelivery(verb string) gin.HandlerFunc {
	return func(c *gin.Context) {
		id, ok := found(c)
		if !ok {
			return
		}
		if act, ok := a.decide(c, verb); ok {
			act.ID = id
			a.do(c, act, "delivery/"+id.String())
		}
	}
}

func (a *Admin) actOnDestination(verb string) gin.HandlerFunc {
	return func(c *gin.Context) {
		name := c.Param("name")
		if !namePattern.MatchString(name) {
			refuse(c, issue.New(issue.NotFound, "", "no such destination"))
			return
		}
		if act, ok := a.decide(c, verb); ok {
			act.To = name
			a.do(c, act, "destination/"+act.To)
		}
	}
}

// do audits an act and carries it out. It is on record even when it then fails: somebody tried.
func (a *Admin) do(c *gin.Context, act Act, what string) {
	if !audited(c, a.Audit, Entry{Verb: act.Verb, What: what, Why: act.Reason}) {
		return
	}
	if err := a.Acts.Act(c.Request.Context(), act); err != nil {
		refuse(c, missing(err, strings.Split(what, "/")[0]))
		return
	}
	send(c, http.StatusOK, "application/json", gin.H{"done": act.Verb})
}

// SignInHeader carries the CIS2 ID token of the user on whose behalf a call is made: of a request, or of a release. It is
// held in memory until its use, and never written down.
const SignInHeader = "CIS2-ID-Token"

// release lets a case go. What is held for a user goes by the word alone of who has signed in: of the referrer whose request
// it is, or of the provider who decided about it. e-RS itself knows what each of them may do.
func (a *Admin) release(c *gin.Context, id flow.ID, act Act) error {
	ctx, token := c.Request.Context(), c.GetHeader(SignInHeader)
	who, _ := IdentityOf(ctx)
	switch {
	case token != "" && act.Merge:
		return issue.New(issue.Conflict, "merge", "first whose case it is, then what is held for a user")
	case token != "" && !who.Is(Referrer, Provider), token == "" && !who.Is(Referrer, Operator):
		return issue.New(issue.Denied, SignInHeader, "needs the role "+Referrer+", or "+Provider+" with a sign-in")
	case token != "":
		return a.Release.ReleaseSignedIn(ctx, id, flow.SignIn{Person: act.Person, Reason: act.Reason, Token: token, Key: act.Key})
	case act.Merge:
		return a.Release.ReleaseMerged(ctx, id, act.Person, act.Reason)
	}
	return a.Release.Release(ctx, id, act.Person, act.Reason)
}

func (a *Admin) releaseCase(c *gin.Context) {
	id, ok := found(c)
	if !ok {
		return
	}
	act, ok := a.decide(c, "release")
	if !ok || !audited(c, a.Audit, Entry{Verb: "release", What: "case/" + id.String(), Why: act.Reason}) {
		return
	}
	if err := a.release(c, id, act); err != nil {
		refuse(c, missing(err, "case"))
		return
	}
	send(c, http.StatusOK, "application/json", gin.H{"done": "release"})
}
