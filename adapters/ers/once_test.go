package ers

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/dermgate/dermgate/adapters/sim"
	"github.com/dermgate/dermgate/gateway/flow"
)

// Whatever goes wrong and however often it is tried, by machine or by a person who replays it unlooked: one authenticated
// request makes at most one thing in e-RS, and advice never makes a referral.
func TestARequestIsCreatedAtMostOnce(t *testing.T) {
	ways := make([]string, 0, len(faults))
	for name := range faults {
		ways = append(ways, name)
	}
	slices.Sort(ways)
	for seed := range uint64(24) {
		random := rand.New(rand.NewPCG(seed, 7))
		what := []string{AdviceRequest, Referral}[random.IntN(2)]
		r := newRig(t, what)
		r.HTTP = &http.Client{Timeout: 150 * time.Millisecond}
		signedIn := true
		r.User = signIns(func() bool { return signedIn })
		var story []string
		for range 3 + random.IntN(8) {
			signedIn = random.IntN(5) > 0
			if random.IntN(3) > 0 {
				name := ways[random.IntN(len(ways))]
				f := faults[name]
				f.Skip = random.IntN(6)
				f.Delay = min(f.Delay, 200*time.Millisecond)
				r.ers.Fail(f)
				story = append(story, name)
			}
			r.crash = nil
			if random.IntN(3) == 0 {
				at, after := r.saves+1+random.IntN(4), random.IntN(2) == 0
				r.crash = func(saves int) (bool, bool) { return saves == at && !after, saves == at && after }
			}
			o, err := r.attempt()
			if err != nil && !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			story = append(story, string(o.Result))
			if !signedIn && err == nil && o.Result != flow.Held {
				t.Errorf("seed %d: without a user it is %s, %v", seed, o.Result, o.Cause)
			}
		}
		referrals, advice := len(r.ers.Requests("r")), len(r.ers.Requests("a"))
		if referrals+advice > 1 || what == AdviceRequest && referrals > 0 || what == Referral && advice > 0 {
			t.Errorf("seed %d, %s: %d referrals and %d advice requests after %q", seed, what, referrals, advice, story)
		}
	}
}

// signIns is somebody who is signed in at times.
type signIns func() bool

func (s signIns) Token(context.Context, string, string) (string, error) {
	if s() {
		return "t", nil
	}
	return "", nil
}

func (signIns) Forget(string) {}

// A token that another gateway holds is waited for, and not for ever.
func TestASignInAtAnotherGatewayIsWaitedFor(t *testing.T) {
	r := newRig(t, Referral)
	now := at
	r.Now = func() time.Time { return now }
	r.User = signIns(func() bool { return false })
	r.del.Steps = []flow.Step{{Name: flow.SignedIn, At: at}}
	for range 3 {
		if o := r.deliver(); o.Result != flow.Again || o.After != time.Second {
			t.Fatalf("%s after %s: %v", o.Result, o.After, o.Cause)
		}
	}
	now = now.Add(another)
	r.want(flow.Held, flow.ForUser)
	now = now.Add(time.Minute)
	r.del.Steps = []flow.Step{{Name: flow.SignedIn, At: now}} // released anew
	if o := r.deliver(); o.Result != flow.Again {
		t.Fatalf("%s: %v", o.Result, o.Cause)
	}
	if len(r.ers.Received()) != 0 {
		t.Error("called without a user")
	}
}

// A user whom e-RS does not take is asked to sign in again: nothing is tried for ever as them.
func TestAUserWhomERSDoesNotTake(t *testing.T) {
	r := newRig(t, Referral)
	r.User = signIns(func() bool { return true })
	r.ers.Fail(sim.Fault{Call: "A011", Status: http.StatusUnauthorized})
	r.want(flow.Held, flow.ForUser)
	if r.want(flow.Delivered, ""); len(r.ers.Requests("r")) != 1 {
		t.Error("not one referral after they had signed in again")
	}
}
