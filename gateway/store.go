package main

import (
	"context"

	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/adapters/redis"
	"github.com/dermgate/dermgate/gateway/config"
	"github.com/dermgate/dermgate/gateway/flow"
)

// openStore opens the configured store.
func (a *app) openStore(ctx context.Context) error {
	var store flow.Store
	var err error
	a.gate = &flow.LocalGate{}
	if a.cfg.Store.Redis != nil {
		var o redis.Options
		if o, err = a.redis(a.cfg.Store.Redis); err == nil {
			var shared *redis.Store
			shared, err = redis.Open(ctx, o)
			store, a.gate = shared, shared
		}
	} else {
		var file *bolt.Store
		if file, err = bolt.OpenBy(a.cfg.Store.Embedded, a.byHand); err == nil {
			store, a.backup = file, file
			a.tellCompaction(file.Compacted())
		}
	}
	if err != nil {
		return err
	}
	a.store = a.metrics.Store(store)
	return nil
}

func (a *app) tellCompaction(c bolt.Compaction) {
	switch {
	case c.Err != nil:
		a.log.Warn("store not compacted", "error", c.Err)
	case c.After < c.Before:
		a.log.Info("store compacted", "bytes", c.After)
	}
}

// redis says where the shared store is and how it is spoken to.
func (a *app) redis(r *config.Redis) (redis.Options, error) {
	url, err := r.URL.Read()
	if err != nil {
		return redis.Options{}, err
	}
	o := redis.Options{URL: url, Cluster: r.Cluster, User: r.User, Database: r.Database, Durability: string(r.Durability), Reason: r.Reason,
		Wait: redis.Wait{Replicas: r.Wait.Replicas, AOF: r.Wait.Until == config.OnDisk, Timeout: r.Wait.Timeout}}
	if r.Password.Given() {
		o.Password = r.Password.Read
	}
	if s := r.Sentinel; s != nil {
		o.Sentinel = &redis.Sentinel{Master: s.Master, Addresses: s.Addresses, User: s.User, Password: s.Password.Read}
	}
	if r.TLS != nil {
		if o.TLS, err = a.clientTLS(r.TLS); err != nil {
			return o, err
		}
	}
	return o, nil
}
