package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/config"
)

// As many connections are kept for a destination as it has deliveries under way: else most calls would dial.
func TestADestinationKeepsItsConnections(t *testing.T) {
	const most, rounds = 8, 5
	var dialled, waiting atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		waiting.Add(1)
		for end := time.Now().Add(5 * time.Second); waiting.Load()%most != 0 && time.Now().Before(end); { // all of a round are under way at once
			time.Sleep(time.Millisecond)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, to http.ConnState) {
		if to == http.StateNew {
			dialled.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	client, err := new(app).httpClient(config.Destination{Concurrency: most, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for range rounds {
		var calls sync.WaitGroup
		for range most {
			calls.Go(func() {
				resp, err := client.Get(s.URL)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			})
		}
		calls.Wait()
	}
	if n := dialled.Load(); n > most+2 {
		t.Errorf("%d connections for %d rounds of %d calls", n, rounds, most)
	}
}
