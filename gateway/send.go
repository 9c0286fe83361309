package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dermgate/dermgate/adapters/mllp"
	"github.com/dermgate/dermgate/fixtures"
	"github.com/dermgate/dermgate/mapping/hl7"
)

func sendVerb(std stdio) *cobra.Command {
	var to string
	var concurrency, repeat int
	c := &cobra.Command{
		Use:   "send --to mllp://HOST:PORT FILE…",
		Short: "send HL7 v2 messages and print each acknowledgement",
		Long: "Send each file, a message or a batch, and print what it is answered; at the end, counts by MSA-1 and how long answers took.\n" +
			"Where a file says ${photo NAME}, as those of fixtures/messages do, a made-up photo of fixtures/photos is sent, in base64.",
		Example: "  gateway send --to mllp://127.0.0.1:2575 fixtures/messages/advice.hl7",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			address, ok := strings.CutPrefix(to, "mllp://")
			if !ok {
				return errUsage{fmt.Errorf("--to %q: want mllp://HOST:PORT", to)}
			}
			if concurrency < 1 || repeat < 1 {
				return errUsage{fmt.Errorf("--concurrency and --repeat are at least 1")}
			}
			s := &sender{std: std, address: address, counts: map[string]int{}}
			return s.run(cmd.Context(), args, concurrency, repeat)
		},
	}
	c.Flags().StringVar(&to, "to", "mllp://127.0.0.1:2575", "where to send")
	c.Flags().IntVar(&concurrency, "concurrency", 1, "connections at once")
	c.Flags().IntVar(&repeat, "repeat", 1, "how often each file is sent")
	return c
}

// sender sends files over a number of connections and counts what comes back.
type sender struct {
	std     stdio
	address string
	mu      sync.Mutex
	counts  map[string]int // by MSA-1, and "no answer"
	took    []time.Duration
}

func (s *sender) run(ctx context.Context, files []string, concurrency, repeat int) error {
	work := make(chan string)
	var wg sync.WaitGroup
	for range concurrency {
		wg.Go(func() { s.connection(ctx, work) })
	}
	for range repeat {
		for _, f := range files {
			work <- f
		}
	}
	close(work)
	wg.Wait()
	s.summary()
	if s.counts["AA"]+s.counts["CA"] != len(s.took) || s.counts["no answer"] > 0 {
		return errFound
	}
	return nil
}

// connection keeps one connection, made anew after a failure.
func (s *sender) connection(ctx context.Context, work <-chan string) {
	var conn *mllp.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	for file := range work {
		err := s.send(ctx, &conn, file)
		if err == nil {
			continue
		}
		if conn != nil {
			conn.Close()
			conn = nil
		}
		s.note("no answer", 0, fmt.Sprintf("%s: no answer: %v", file, err))
	}
}

func (s *sender) send(ctx context.Context, conn **mllp.Conn, file string) error {
	raw, err := os.ReadFile(file)
	if err == nil {
		raw, err = fixtures.Fill(raw)
	}
	if err != nil {
		return err
	}
	if *conn == nil {
		if *conn, err = mllp.Dial(ctx, s.address, nil); err != nil {
			return err
		}
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ack, err := (*conn).Exchange(ctx, raw)
	for left := holds(raw); err == nil; {
		acks := [][]byte{ack}
		if hl7.Several(ack, "") { // a batch acknowledgement
			acks, left = hl7.Split(ack, "").Messages, 0
		}
		for _, a := range acks {
			if err := s.answered(file, a, time.Since(start)); err != nil {
				return err
			}
		}
		if left--; left <= 0 {
			return nil
		}
		ack, err = (*conn).More(ctx)
	}
	return err
}

// holds tells how many messages a file holds, of which each is answered.
func holds(raw []byte) int {
	if !hl7.Several(raw, "") {
		return 1
	}
	return len(hl7.Split(raw, "").Messages)
}

func (s *sender) answered(file string, ack []byte, took time.Duration) error {
	a, err := hl7.ParseAck(ack)
	if err != nil {
		return err
	}
	s.note(a.Code, took, fmt.Sprintf("%s: %s %s%s", file, a.Code, a.ControlID, troubles(a)))
	return nil
}

// troubles tells what ERR says: severity, code, place.
func troubles(a hl7.Answer) string {
	var b strings.Builder
	for _, e := range a.Errors {
		fmt.Fprintf(&b, " [%s %s %s]", e.Severity, e.Code, e.Where)
	}
	return b.String()
}

func (s *sender) note(code string, took time.Duration, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[code]++
	if code != "no answer" {
		s.took = append(s.took, took)
	}
	fmt.Fprintln(s.std.out, line)
}

func (s *sender) summary() {
	codes := make([]string, 0, len(s.counts))
	for code, n := range s.counts {
		codes = append(codes, fmt.Sprintf("%s %d", code, n))
	}
	slices.Sort(codes)
	slices.Sort(s.took)
	line := strings.Join(codes, "  ")
	if n := len(s.took); n > 0 {
		at := func(p int) time.Duration { return s.took[min(n-1, n*p/100)].Round(10 * time.Microsecond) }
		line += fmt.Sprintf("  p50 %v  p95 %v  p99 %v", at(50), at(95), at(99))
	}
	fmt.Fprintln(s.std.out, line)
}
