package redis

import (
	"slices"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
)

// seen remembers, for a moment, the due lanes that looks found beyond those that were asked for: under load the next claims
// take them without looking at all partitions again. Whether a lane is still due is decided where it is claimed. One that
// another replica has claimed meanwhile shows that several look for the same: each claim then looks for itself for a while.
type seen struct {
	mu sync.Mutex
	of map[string]sight // by destination
}

type sight struct {
	lanes  []dueLane // best first
	until  time.Time
	shared time.Time // until then others claim the same
}

// How long lanes are remembered, which is how much longer an urgent one of another replica may wait; and nothing is, after
// another replica was met.
const (
	seenFor   = 50 * time.Millisecond
	sharedFor = time.Second
)

// keep remembers lanes that were left.
func (s *seen) keep(to string, left []dueLane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, now := s.of[to], time.Now()
	if now.Before(was.shared) {
		return
	}
	if s.of == nil {
		s.of = map[string]sight{}
	}
	s.of[to] = sight{lanes: left, until: now.Add(seenFor)}
}

// take gives n lanes; none when there are fewer or they were seen too long ago, since there may be others by now.
func (s *seen) take(to string, n int) []dueLane {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.of[to]
	if len(was.lanes) < n || time.Now().After(was.until) {
		return nil
	}
	out := was.lanes[:n]
	was.lanes = was.lanes[n:]
	s.of[to] = was
	return out
}

// drop forgets lanes that are about to be claimed otherwise.
func (s *seen) drop(to string, claimed []dueLane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, ok := s.of[to]; ok {
		was.lanes = slices.DeleteFunc(was.lanes, func(l dueLane) bool { return slices.Contains(claimed, l) })
		s.of[to] = was
	}
}

// met says that another replica claims of the same destination.
func (s *seen) met(to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[to] = sight{shared: time.Now().Add(sharedFor)} // there is one: its lanes were taken
}

// forget makes the next claim look, where something more urgent came.
func (s *seen) forget(ds []flow.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		if was, ok := s.of[d.To]; ok && d.Class <= flow.ClassUrgent {
			was.lanes = nil
			s.of[d.To] = was
		}
	}
}

// forgetAll makes the next claims look: a person has decided something.
func (s *seen) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for to, was := range s.of {
		was.lanes = nil
		s.of[to] = was
	}
}
