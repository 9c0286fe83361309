package config

import (
	"cmp"
	"fmt"
)

// applications wants each application that is registered with a token service to be one organisation's, since e-RS knows by
// it for whom it is asked, and to have one file of keys, since all that use it share its token.
func (c *checker) applications() {
	type use struct {
		auth *Auth
		ods  string
		line int
	}
	first := map[string]use{}
	look := func(path string, a *Auth, ods string) {
		if a == nil || a.TokenURL == "" {
			return
		}
		key, now := a.TokenURL+" "+a.ClientID, use{a, ods, c.position(path).line}
		before, known := first[key]
		switch {
		case !known:
			first[key] = now
		case before.auth.Key != a.Key || before.auth.KeyID != a.KeyID || before.auth.Secret != a.Secret:
			c.fault(path, "the application %s has another key at line %d: it has one file of keys", a.ClientID, before.line)
		case before.ods != "" && ods != "" && before.ods != ods:
			c.fault(path, "the application %s is that of %s (line %d): e-RS knows by it for whom it is asked", a.ClientID, before.ods, before.line)
		case before.ods == "":
			first[key] = now
		}
	}
	for i, s := range c.Sources {
		ods := ""
		if s.Kind == ERSWorklist {
			ods = cmp.Or(s.Organisation, c.Site.ODS)
		}
		look(fmt.Sprintf("sources[%d].auth", i), s.Auth, ods)
	}
	for i, d := range c.Destinations {
		look(fmt.Sprintf("destinations[%d].auth", i), d.Auth, "")
		look(fmt.Sprintf("destinations[%d].poll_auth", i), d.PollAuth, "")
	}
}
