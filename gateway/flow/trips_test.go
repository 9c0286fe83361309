package flow_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/flow"
	"github.com/dermgate/dermgate/mapping/issue"
)

// counting counts the calls that a Redis would answer with a round trip each.
type counting struct {
	flow.Store
	calls []string
}

func (c *counting) Receipt(ctx context.Context, i flow.Idem) (flow.Receipt, error) {
	c.calls = append(c.calls, "receipt")
	return c.Store.Receipt(ctx, i)
}

func (c *counting) Case(ctx context.Context, id flow.ID) (flow.CaseRecord, error) {
	c.calls = append(c.calls, "case")
	return c.Store.Case(ctx, id)
}

func (c *counting) Put(ctx context.Context, change flow.Change) (flow.Receipt, error) {
	c.calls = append(c.calls, "put")
	return c.Store.Put(ctx, change)
}

func (c *counting) took(t *testing.T, want string) {
	t.Helper()
	if got := strings.Join(c.calls, " "); got != want {
		t.Errorf("calls %q, want %q", got, want)
	}
	c.calls = nil
}

// A small request is accepted in one call of the store, and a repeat or another message of its control id is still told,
// whatever its source is allowed by then.
func TestAPlainRequestIsOneCallOfTheStore(t *testing.T) {
	in := newIntake(t, flow.SourceRules{})
	c := &counting{Store: in.Store}
	in.Store = c
	first := in.send(request("R1"))
	c.took(t, "put")
	again := in.send(request("R1"))
	c.took(t, "put")
	if !again.Repeat || string(again.Answer) != string(first.Answer) || again.Case != first.Case {
		t.Errorf("a repeat: %+v", again)
	}
	if other := in.send(strings.Replace(request("R1"), "Testcase", "Testfall", 1)); !other.Refused || other.Kind != issue.Conflict {
		t.Errorf("other bytes: %+v", other)
	}
	c.took(t, "put")
	rules := in.Sources["gp"]
	rules.App = "NOBODY"
	in.Sources["gp"] = rules
	if again := in.send(request("R1")); !again.Repeat || again.Refused || string(again.Answer) != string(first.Answer) {
		t.Errorf("a repeat of what would be refused now: %+v", again)
	}
	c.took(t, "receipt")
	if other := in.send(request("R2")); !other.Refused {
		t.Errorf("%+v", other)
	}
}

// An attempt reads its case once, and again only when it has changed meanwhile.
func TestAnAttemptReadsItsCaseOnce(t *testing.T) {
	in := newIntake(t, flow.SourceRules{})
	id := in.send(request("R1")).Case
	del := claim(t, in, "ag")
	c := &counting{Store: in.Store}
	in.Store = c
	o := flow.Outcome{Result: flow.Delivered}
	settle := func() error {
		if err := in.Settled(t.Context(), &del, &o); err != nil {
			t.Fatal(err)
		}
		return in.Store.Settle(t.Context(), del, o)
	}
	if before, err := in.Before(t.Context(), &del); err != nil || before.Result != "" {
		t.Fatal(before, err)
	}
	c.took(t, "case")
	in.Store = c.Store
	in.send(record("U1", "9990001014^^^NHS^NH||Testcase^Rosalind^^^Ms||19680412|1")) // another sex than the request's
	work(t, in)
	in.Store = c
	if err := settle(); !errors.Is(err, flow.ErrStale) {
		t.Fatalf("on a case that has changed: %v", err)
	}
	c.took(t, "")
	if err := settle(); err != nil {
		t.Fatal(err)
	}
	c.took(t, "case")
	if s := caseOf(t, in, id); len(s.Sent) != 1 {
		t.Errorf("%+v", s)
	}
}
