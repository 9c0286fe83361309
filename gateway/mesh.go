package main

import (
	"context"
	"net/http"
	"time"

	"github.com/dermgate/dermgate/adapters/mesh"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
)

// mailbox is how a mailbox of MESH is reached; its secrets are read anew for each request, so that a changed file counts.
func (a *app) mailbox(base, box string, password, key config.Secret, client *http.Client) mesh.Client {
	return mesh.Client{Base: base, Mailbox: box, Password: password.Read, SharedKey: key.Read, HTTP: client, Now: a.now}
}

// openMESH makes the source that empties a mailbox. All replicas share its pace.
func (a *app) openMESH(s config.Source) error {
	client, err := a.httpClient(config.Destination{Kind: config.MESHOut, TLS: s.Client, Timeout: 2 * time.Minute})
	if err != nil {
		return err
	}
	pace := flow.Limit{Rate: 1 / s.Poll.Seconds()}
	a.polled = append(a.polled, &mesh.Source{Client: a.mailbox(s.BaseURL, s.Mailbox, s.Password, s.SharedKey, client), Name: s.Name, Every: s.Poll,
		Workflows: s.Workflows, Limit: a.cfg.Limits.MessageBytes, Subject: flow.Subject{Organisation: s.Organisation}, Alarm: a.alarms.event, Log: a.log,
		Turn: func(ctx context.Context) (time.Duration, error) {
			pass, err := a.gate.Enter(ctx, "inbox:"+s.Name, 1, pace)
			if err != nil || pass.N > 0 {
				return 0, err
			}
			return max(pass.Wait, 10*time.Millisecond), nil
		}})
	return nil
}

// examineMailbox shakes hands with MESH, which validates the mailbox.
func (d *doctor) examineMailbox(ctx context.Context, e *examination, t config.Destination) {
	client, err := d.httpClient(t)
	if err != nil {
		e.fault("files that can be used", "%v", err)
		return
	}
	box := d.mailbox(t.BaseURL, t.Mailbox, t.Password, t.SharedKey, client)
	header, err := box.Handshake(ctx)
	if header != nil {
		d.examineClock(e, &http.Response{Header: header})
	}
	if err != nil {
		e.fault("the mailbox, its password and the shared key of this environment, as they were given; the time of this machine", "mailbox %s: %v", t.Mailbox, err)
		return
	}
	e.well("the handshake of mailbox %s is answered", t.Mailbox)
}
