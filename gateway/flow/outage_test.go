package flow_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dermgate/dermgate/adapters/adaptertest"
	"github.com/dermgate/dermgate/adapters/bolt"
	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// dayOut is a destination that answers nothing until a time, and then takes all.
type dayOut struct {
	mu    sync.Mutex
	until time.Time
	tries int
	came  []arrived
}

type arrived struct {
	key   string
	class int
	at    time.Time
}

func (d *dayOut) Deliver(_ context.Context, del flow.Delivery, _ func(flow.Step) error) (flow.Outcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Now().Before(d.until) {
		d.tries++
		return flow.Outcome{Result: flow.Retry, Cause: issue.New(issue.Unavailable, "epr", "no answer")}, nil
	}
	d.came = append(d.came, arrived{del.Key, del.Class, time.Now()})
	return flow.Outcome{Result: flow.Delivered}, nil
}

// TestADayDown: a destination is down for a day, by the clock of the store and of everything else. Six hundred deliveries
// wait and more come; each is tried by turns and none is lost; memory stays where it was; one alarm opens and one closes;
// then all go at the destination's rate, suspected cancer first.
func TestADayDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := bolt.Open(filepath.Join(t.TempDir(), "gateway.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		put := func(name string, n, class int) {
			c := adaptertest.Request(name, make([]string, n)...)
			for i := range c.Deliveries {
				d := &c.Deliveries[i]
				d.To, d.Key, d.Class, d.Created, d.Due = "epr", fmt.Sprint(name, " ", i), class, time.Now(), time.Now()
				d.ID, d.Lane = flow.NewID(c.Partition(), d.Key), d.Key
			}
			if _, err := store.Put(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 6 {
			put(fmt.Sprint("before ", i), 100, flow.ClassRoutine)
		}
		began := time.Now()
		dest := &dayOut{until: began.Add(24 * time.Hour)}
		type alarm struct {
			open bool
			at   time.Time
		}
		var alarms []alarm
		worker := &flow.Dispatcher{Store: store, To: "epr", Dest: dest, Concurrency: 4, Every: 5 * time.Second,
			Gate: &flow.LocalGate{}, Limit: flow.Limit{Rate: 10, Longest: 5 * time.Minute}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Down: func(open bool) { alarms = append(alarms, alarm{open, time.Now()}) }}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- worker.Run(ctx) }()

		time.Sleep(time.Hour)
		early := heap()
		for hour := 2; hour <= 23; hour++ {
			put(fmt.Sprint("urgent ", hour), 1, flow.ClassUrgent)
			put(fmt.Sprint("routine ", hour), 1, flow.ClassRoutine)
			time.Sleep(time.Hour)
		}
		late := heap()
		time.Sleep(time.Until(dest.until.Add(6*time.Minute + 30*time.Second)))
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}

		if late > early+4<<20 {
			t.Errorf("%d bytes after an hour, %d after a day", early, late)
		}
		if len(alarms) != 2 || !alarms[0].open || alarms[1].open || alarms[0].at.Sub(began) > time.Minute || alarms[1].at.Before(dest.until) {
			t.Errorf("alarms: %v", alarms)
		}
		if most := 24*60/2 + 30; dest.tries < 24*60/5 || dest.tries > most {
			t.Errorf("%d tries in a day, want one in every 2.5 to 5 minutes", dest.tries)
		}
		if len(dest.came) < 500 {
			t.Fatalf("%d arrived since it is back", len(dest.came))
		}
		for i, a := range dest.came {
			if urgent := i < 22; (a.class == flow.ClassUrgent) != urgent {
				t.Errorf("number %d is %s", i, a.key)
			}
			if i > 0 && a.at.Sub(dest.came[i-1].at) < 99*time.Millisecond {
				t.Fatalf("number %d came %v after the one before: ten a second", i, a.at.Sub(dest.came[i-1].at))
			}
		}
		t.Logf("%d tries in a day, %d KiB of heap more, then %d in %v", dest.tries, (int64(late)-int64(early))>>10, len(dest.came), dest.came[len(dest.came)-1].at.Sub(dest.came[0].at).Round(time.Second))
	})
}

// heap gives the bytes that are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
