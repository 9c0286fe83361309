package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dermgate/dermgate/adapters/blob"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/gateway/observe"
)

// retention is what removes what was kept long enough.
func (a *app) retention() flow.Retention {
	r := flow.Retention{Store: a.store, Objects: objects{a.photos, a}, Keep: a.cfg.Store.Retain, Record: a.removal, Now: a.now}
	for _, s := range a.cfg.Sources {
		if s.Kind == config.ERSWorklist {
			r.Others = append(r.Others, foundOf(s.Name))
		}
	}
	return r
}

// begin sees to it that the store has the delivery that does some work for ever, however long the store is away.
func (a *app) begin(ctx context.Context, what string, begin func(context.Context) error) error {
	for {
		err := begin(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		a.log.Error(what+" cannot begin", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
		}
	}
}

// removal writes a line of the audit log.
func (a *app) removal(ctx context.Context, what, why string) error {
	return a.audit.Record(ctx, observe.Entry{Who: "gateway", Verb: "prune", What: what, Why: why})
}

// objects are the photos as retention sees them.
type objects struct {
	*blob.Store
	a *app
}

// Collect removes what was written a day ago or earlier, and whose case or message was never kept or is gone.
func (o objects) Collect(ctx context.Context) error {
	var stop error
	n, err := o.Sweep(ctx, func(name string) bool {
		if stop != nil || o.owned(ctx, name) {
			return true
		}
		stop = o.a.removal(ctx, "object/"+name, "it belongs to no case and no message")
		return stop != nil
	}, 24*time.Hour)
	if err = errors.Join(err, stop); err != nil {
		return fmt.Errorf("collect: %w", err)
	}
	o.a.log.Info("swept", "count", n)
	return nil
}

// owned tells whether the case or message that an object belongs to is in the store. When in doubt it is.
func (o objects) owned(ctx context.Context, name string) bool {
	owner, _, _ := strings.Cut(name, "/")
	id, err := flow.ParseID(owner)
	if err != nil {
		return true
	}
	if _, err := o.a.store.Case(ctx, id); !errors.Is(err, flow.ErrNotFound) {
		return true
	}
	_, err = o.a.store.Message(ctx, id)
	return !errors.Is(err, flow.ErrNotFound)
}
