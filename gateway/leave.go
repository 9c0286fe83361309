package main

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// giveNotice waits for the end, and then tells it to load balancers and senders for as long as the configuration says:
// /readyz answers 503, and every connection ends after its next answer, at the one moment when its sender waits for
// nothing. All is still taken meanwhile.
func (a *app) giveNotice(ctx context.Context) {
	<-ctx.Done()
	a.leaving.Store(true)
	for _, s := range a.servers {
		s.Leave()
	}
	if notice := a.cfg.Shutdown.Notice; notice > 0 {
		a.log.Info("leaving", "after", notice)
		time.Sleep(notice)
	}
}

// staying is what /readyz asks.
func (a *app) staying(context.Context) error {
	if a.leaving.Load() {
		return errors.New("the gateway was told to end")
	}
	return nil
}

// lastAnswers ends HTTP connections after their next answer, once the gateway is leaving.
func (a *app) lastAnswers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
