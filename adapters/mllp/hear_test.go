package mllp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// asking is a small message with that control id, MSH-15 and MSH-16.
func asking(id, accept, application string) []byte {
	return []byte(strings.Replace(message(id), "|P|2.5\r", "|P|2.5|||"+accept+"|"+application+"\r", 1))
}

// each does one step after the other.
func each(steps ...step) step {
	return func(c net.Conn, msg []byte) bool {
		for _, s := range steps {
			if !s(c, msg) {
				return false
			}
		}
		return true
	}
}

func pauses(net.Conn, []byte) bool { time.Sleep(30 * time.Millisecond); return true }

// silent says nothing and reads on.
func silent(net.Conn, []byte) bool { return true }

// TestWhichAnswersAreWaitedFor: MSH-15 and MSH-16 decide what is an answer, and what silence means.
func TestWhichAnswersAreWaitedFor(t *testing.T) {
	const timeout = 400 * time.Millisecond
	rri := "MSH|^~\\&|EPR|RXX01|DERMGATE||20260105||RRI^I12|E1|P|2.4\rMSA|AA|77\rRF1|A\r"
	other := "MSH|^~\\&|EPR|RXX01|DERMGATE||20260105||ACK|E2|P|2.4\rMSA|AE|66\r"
	for name, tt := range map[string]struct {
		accept, application string
		peer                step
		want                flow.Result
		kind                issue.Kind
		waited              bool // until the ack time-out
		kept                int  // connections, afterwards
		reply               string
	}{
		"original, AA":                   {"", "", acks("AA"), flow.Delivered, "", false, 1, ""},
		"AL NE, CA":                      {"AL", "NE", acks("CA"), flow.Delivered, "", false, 1, ""},
		"AL, CA":                         {"AL", "", acks("CA"), flow.Delivered, "", false, 1, ""},
		"AL NE, AA of the original mode": {"AL", "NE", acks("AA"), flow.Delivered, "", false, 1, ""},
		"AL NE, CE":                      {"AL", "NE", acks("CE", issue.Required), flow.Refused, issue.Required, false, 1, ""},
		"AL NE, CR 203":                  {"AL", "NE", acks("CR", issue.UnsupportedVersion), flow.Refused, issue.UnsupportedVersion, false, 1, ""},
		"AL NE, CR 207":                  {"AL", "NE", acks("CR", issue.Unavailable), flow.Retry, issue.Unavailable, false, 1, ""},
		"AL NE, CR":                      {"AL", "NE", acks("CR"), flow.Retry, issue.Unavailable, false, 1, ""},
		"AL NE, CA for another":          {"AL", "NE", says(frame("MSH|^~\\&|\rMSA|CA|78\r")), flow.Retry, issue.Unavailable, false, 0, ""},
		"AL NE, silence":                 {"AL", "NE", silent, flow.Retry, issue.Unavailable, true, 0, ""},
		"SU NE, silence":                 {"SU", "NE", silent, flow.Retry, issue.Unavailable, true, 0, ""},
		"ER NE, silence":                 {"ER", "NE", silent, flow.Delivered, "", true, 0, ""},
		"ER NE, CE":                      {"ER", "NE", acks("CE"), flow.Refused, issue.Value, false, 1, ""},
		"ER NE, closed":                  {"ER", "NE", closes, flow.Retry, issue.Unavailable, false, 0, ""},
		"ER NE, half an answer":          {"ER", "NE", each(says("\x0bMSH|"), closes), flow.Retry, issue.Unavailable, false, 0, ""},
		"ER NE, half an answer, silence": {"ER", "NE", says("\x0bMSH|"), flow.Retry, issue.Unavailable, true, 0, ""},
		"ER NE, junk, silence":           {"ER", "NE", says("wait"), flow.Retry, issue.Unavailable, true, 0, ""},
		"NE NE, silence":                 {"NE", "NE", silent, flow.Delivered, "", false, 0, ""},
		"NE, silence":                    {"NE", "", silent, flow.Delivered, "", false, 0, ""},
		"NE NE, answered all the same":   {"NE", "NE", acks("AE"), flow.Delivered, "", false, 0, ""},
		"NE AL is the original mode":     {"NE", "AL", acks("AA"), flow.Delivered, "", false, 1, ""},
		"NE AL, AE":                      {"NE", "AL", acks("AE"), flow.Refused, issue.Value, false, 1, ""},
		"NE AL, silence":                 {"NE", "AL", silent, flow.Retry, issue.Unavailable, true, 0, ""},
		"AL AL, CA and AA":               {"AL", "AL", each(acks("CA"), pauses, acks("AA")), flow.Delivered, "", false, 1, ""},
		"AL AL, CA and AA in one write":  {"AL", "AL", says(frame("MSH|^~\\&|\rMSA|CA|77\r") + frame("MSH|^~\\&|\rMSA|AA|77\r")), flow.Delivered, "", false, 1, ""},
		"AL AL, CA and RRI":              {"AL", "AL", each(acks("CA"), says(frame(rri))), flow.Delivered, "", false, 1, rri},
		"AL AL, CA and AE":               {"AL", "AL", each(acks("CA"), pauses, acks("AE", issue.Code)), flow.Refused, issue.Code, false, 1, ""},
		"AL AL, CA and AR 207":           {"AL", "AL", each(acks("CA"), acks("AR", issue.Unavailable)), flow.Retry, issue.Unavailable, false, 1, ""},
		"AL AL, CA and silence":          {"AL", "AL", acks("CA"), flow.Delivered, "", true, 0, ""},
		"AL AL, CA and closed":           {"AL", "AL", each(acks("CA"), closes), flow.Delivered, "", false, 0, ""},
		"AL AL, CA and half an AE":       {"AL", "AL", each(acks("CA"), says("\x0bMSH|^~\\&|\rMSA|AE|77\r"), closes), flow.Delivered, "", false, 0, ""},
		"AL AL, CA and another's":        {"AL", "AL", each(acks("CA"), says(frame(other))), flow.Delivered, "", false, 0, other},
		"AL ER, CA and silence":          {"AL", "ER", acks("CA"), flow.Delivered, "", true, 0, ""},
		"AL AL, CE ends it":              {"AL", "AL", acks("CE"), flow.Refused, issue.Value, false, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := play(t, tt.peer)
			c := &Client{Name: "epr", Address: s.Addr().String(), AckTimeout: timeout}
			defer func() { _ = c.Close() }()
			start := time.Now()
			out, err := c.Deliver(context.Background(), flow.Delivery{Key: "77", Body: flow.BodyRef{Inline: asking("77", tt.accept, tt.application)}}, nil)
			took := time.Since(start)
			if err != nil {
				t.Fatal(err)
			}
			kind := issue.Kind("")
			if out.Cause != nil {
				kind = out.Cause.Kind
			}
			if out.Result != tt.want || kind != tt.kind {
				t.Errorf("%s, %v", out.Result, out.Cause)
			}
			if waited := took > timeout-10*time.Millisecond; waited != tt.waited {
				t.Errorf("took %v", took)
			}
			reply := ""
			for _, r := range out.Replies {
				reply += string(r.Raw)
			}
			if reply != tt.reply {
				t.Errorf("replies %q", reply)
			}
			c.pooled(t, tt.kept)
			for end := time.Now().Add(2 * time.Second); ; time.Sleep(time.Millisecond) {
				if n, _ := s.counts(); n == 1 {
					break
				} else if n > 1 || time.Now().After(end) {
					t.Fatalf("%d messages arrived", n)
				}
			}
		})
	}
}

// TestMessageThatAsksForNoAnswerGoesOverAFreshConnection: nobody would say that a kept one was dead.
func TestMessageThatAsksForNoAnswerGoesOverAFreshConnection(t *testing.T) {
	s := play(t, acks("AA"))
	c := &Client{Address: s.Addr().String()}
	defer func() { _ = c.Close() }()
	c.deliver(t, "1")
	_ = s.Close() // the kept connection lives, a new one cannot
	out, err := c.Deliver(context.Background(), flow.Delivery{Key: "2", Body: flow.BodyRef{Inline: asking("2", "NE", "NE")}}, nil)
	if err != nil || out.Result != flow.Retry {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestWhatAStoredMessageAsksForIsRead from its header, and the message still goes whole, over a fresh
// connection too when the kept one dies under it.
func TestWhatAStoredMessageAsksForIsRead(t *testing.T) {
	body := append(asking("1", "AL", "AL"), bytes.Repeat([]byte("OBX|1|ED|||x\r"), 20_000)...)
	opened, closed := 0, 0
	s := play(t, each(acks("CA"), acks("AA")), closes, each(acks("CA"), acks("AE")))
	c := &Client{Address: s.Addr().String(), Open: func(context.Context, flow.BodyRef) (io.ReadCloser, error) {
		opened++
		return closing{bytes.NewReader(body), &closed}, nil
	}}
	defer func() { _ = c.Close() }()
	d := flow.Delivery{Key: "1", Body: flow.BodyRef{Blob: "case/1"}}
	for i, want := range []flow.Result{flow.Delivered, flow.Refused} {
		if out, err := c.Deliver(context.Background(), d, nil); err != nil || out.Result != want {
			t.Errorf("attempt %d: %+v, %v", i+1, out, err)
		}
	}
	for i, seen := range s.seen {
		if seen != string(body) {
			t.Errorf("message %d: %d bytes of %d", i+1, len(seen), len(body))
		}
	}
	if len(s.seen) != 3 || opened != closed {
		t.Errorf("%d messages, body opened %d times and closed %d times", len(s.seen), opened, closed)
	}
}

type closing struct {
	io.Reader
	closed *int
}

func (c closing) Close() error { *c.closed++; return nil }

func TestStoreThatFailsWhileReadingIsNotTheReceiversFault(t *testing.T) {
	for name, read := range map[string]io.Reader{
		"at once": failingStore{},
		"later":   io.MultiReader(bytes.NewReader(append(asking("1", "AL", ""), bytes.Repeat([]byte("x"), 200_000)...)), failingStore{}),
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t, acks("AA"))
			c := &Client{Address: s.Addr().String(), Open: func(context.Context, flow.BodyRef) (io.ReadCloser, error) { return io.NopCloser(read), nil }}
			out, err := c.Deliver(context.Background(), flow.Delivery{Key: "1", Body: flow.BodyRef{Blob: "b"}}, nil)
			if err != nil || out.Result != flow.Retry || !strings.Contains(out.Cause.Text, "from the store") {
				t.Errorf("%+v, %v", out, err)
			}
			c.pooled(t, 0)
			if n, _ := s.counts(); n != 0 {
				t.Errorf("%d messages arrived", n)
			}
		})
	}
}

type failingStore struct{}

func (failingStore) Read([]byte) (int, error) { return 0, errors.New("disk") }

// TestSilenceOfAReceiverThatReadsNothingIsNoSuccess: ER takes silence for success only after the whole message.
func TestSilenceOfAReceiverThatReadsNothingIsNoSuccess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // connects, and never reads
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	body := append(asking("1", "ER", "NE"), bytes.Repeat([]byte("OBX|1|ED|||x\r"), 4<<20)...)
	c := &Client{Address: l.Addr().String(), AckTimeout: 300 * time.Millisecond}
	out, err := c.Deliver(context.Background(), flow.Delivery{Key: "1", Body: flow.BodyRef{Inline: body}}, nil)
	if err != nil || out.Result != flow.Retry || out.Cause.Text != "no acknowledgement in time" {
		t.Errorf("%+v, %v", out, err)
	}
}
