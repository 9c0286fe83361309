package ers

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
)

// Code systems of A004.
const (
	priorities  = "PRIORITY"
	specialties = "SPECIALTY"
)

// Reference is the reference data of e-RS (A004): it changes rarely and without notice, so it is read again after a day.
type Reference struct {
	Client
	Keep time.Duration    // 0: 24 hours
	Now  func() time.Time // nil: time.Now

	mu      sync.Mutex
	systems map[string]codeList
}

type codeList struct {
	read  time.Time
	codes map[string]refCode
}

// refCode is what A004 says of a code.
type refCode struct {
	display string
	days    map[string]int // "triageContactDays", "deferToProviderContactDays": working days
}

// System reads a code system, or gives what is known of it. What was read before is better than nothing when e-RS does
// not answer.
func (r *Reference) system(ctx context.Context, name string) (map[string]refCode, error) {
	now, keep := time.Now, r.Keep
	if r.Now != nil {
		now = r.Now
	}
	if keep <= 0 {
		keep = 24 * time.Hour
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	have, ok := r.systems[name]
	if ok && now().Sub(have.read) < keep {
		return have.codes, nil
	}
	var set struct {
		ResourceType string `json:"resourceType"`
		Concept      []struct {
			Code     string `json:"code"`
			Display  string `json:"display"`
			Property []struct {
				Code  string `json:"code"`
				Value int    `json:"valueInteger"`
			} `json:"property"`
		} `json:"concept"`
	}
	err := r.read(ctx, "A004", "/STU3/CodeSystem/"+name, &set)
	if err == nil && (set.ResourceType != "CodeSystem" || len(set.Concept) == 0) {
		err = foreign("A004")
	}
	if err != nil {
		return have.codes, err
	}
	codes := map[string]refCode{}
	for _, c := range set.Concept {
		x := refCode{display: c.Display, days: map[string]int{}}
		for _, p := range c.Property {
			if p.Value > 0 {
				x.days[p.Code] = p.Value
			}
		}
		codes[c.Code] = x
	}
	if r.systems == nil {
		r.systems = map[string]codeList{}
	}
	r.systems[name] = codeList{now(), codes}
	return codes, nil
}

// Check reads the priorities (A004), which every provider may: it tells whether e-RS takes the credential, and what it
// says of the days to a triage.
func (r *Reference) Check(ctx context.Context) (string, error) {
	codes, err := r.system(ctx, priorities)
	if s := new(stop); errors.As(err, &s) {
		return "", s.Cause
	}
	text := ""
	for _, p := range []string{pathway.TwoWeekWait, pathway.Urgent, pathway.Routine} {
		text += "/" + strconv.Itoa(codes[p].days["triageContactDays"])
	}
	return "working days to triage " + text[1:], err
}

// reviewBy gives by when the provider is to have reviewed a request that was sent to it then: working days by its
// priority. It is zero where e-RS does not say.
func (r *Reference) reviewBy(ctx context.Context, priority, state string, sent time.Time, zone *time.Location) time.Time {
	codes, _ := r.system(ctx, priorities) // without them the limits of the configuration hold
	property := "triageContactDays"
	if state == "DEFERRED_TO_PROVIDER" {
		property = "deferToProviderContactDays"
	}
	days := codes[priority].days[property]
	if days == 0 || sent.IsZero() {
		return time.Time{}
	}
	return pathway.Span{Days: days}.After(sent.In(zone))
}
