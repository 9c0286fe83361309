package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/dermgate/dermgate/adapters/sim"
)

// bearerOptions are who is let in.
type bearerOptions struct {
	users, applications []string
	service             string
}

func (o *bearerOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.users, "token", nil, "a bearer token of a user who signed in (again for more)")
	f.StringArrayVar(&o.applications, "app-token", nil, "a bearer token of an application without a user (again for more)")
	f.StringVar(&o.service, "token-url", "", "a running gateway sim token that knows tokens, such as http://127.0.0.1:2594")
}

// bearers gives who knows tokens, nil where any passes, and what a client is told of it.
func (o *bearerOptions) bearers() (sim.Bearers, string) {
	given := sim.Given{}
	var said []string
	for _, t := range o.applications {
		given[t] = false
		said = append(said, "Bearer "+t+" (application)")
	}
	for _, t := range o.users {
		given[t] = true
		said = append(said, "Bearer "+t+" (user)")
	}
	known := sim.Several{given}
	if o.service != "" {
		base := strings.TrimSuffix(strings.TrimRight(o.service, "/"), "/oauth2/token")
		known = append(known, sim.Asked(base))
		said = append(said, "a bearer token of "+base+"/oauth2/token")
	}
	if said == nil {
		return nil, "any bearer token"
	}
	return known, strings.Join(said, ", ")
}

// settings reads what was given as NAME=VALUE,… or JSON, and hands each on.
func settings[T any](flag string, given []string, take func(T) error) error {
	for _, s := range given {
		var x T
		if err := sim.Setting(s, &x); err != nil {
			return errUsage{fmt.Errorf("--%s %q: %v", flag, s, err)}
		}
		if err := take(x); err != nil {
			return errUsage{fmt.Errorf("--%s %q: %v", flag, s, err)}
		}
	}
	return nil
}

const faultHelp = "something to go wrong: call=NAME,skip=N,times=N,status=N,code=TEXT,retryAfter=S,delay=2s,drop,dropAfter, or JSON (again for more)"
const ackHelp = "how a message is met: code=AE,error=207,silent,close,cut,lose,delay=2s,times=N, or JSON (again for more)"
