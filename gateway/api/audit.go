package api

import (
	"context"

	"github.com/gin-gonic/gin"

	"github.com/dermgate/dermgate/mapping/issue"
)

// Entry is what is audited: who did or read what, and why. What holds ids and configured names only.
type Entry struct{ Who, Verb, What, Why string }

// Audit keeps an entry durably before it returns nil. On an error nothing is shown and nothing done.
type Audit func(ctx context.Context, e Entry) error

// audited records what the caller is about to do or see; false when it could not be, and the request is
// then refused already.
func audited(c *gin.Context, audit Audit, e Entry) bool {
	who, _ := IdentityOf(c.Request.Context())
	e.Who = who.Name
	if who.Organisation != "" {
		e.Who += " (" + who.Organisation + ")"
	}
	if err := audit(c.Request.Context(), e); err != nil {
		refuse(c, issue.New(issue.Unavailable, "", "the audit log cannot be written").Because(err))
		return false
	}
	return true
}
