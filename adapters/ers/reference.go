package ers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dermgate/dermgate/gateway/pathway"
)

// Code systems of A004.
const (
	priorities    = "PRIORITY"
	specialties   = "SPECIALTY"
	cancellations = "REFERRAL-CANCELLATION-REASON"
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
	days    map[string]int      // "triageContactDays", "deferToProviderContactDays": working days
	props   map[string][]string // by name: codes, "true" or "false", times
}

// says tells whether a property has a value: one of several, or its only one.
func (c refCode) says(property, value string) bool { return slices.Contains(c.props[property], value) }

// inForce tells whether the code may be used at a time.
func (c refCode) inForce(at time.Time) bool {
	for property, past := range map[string]bool{"effectiveFrom": true, "effectiveTo": false} {
		for _, text := range c.props[property] {
			if t, err := time.Parse(time.RFC3339, text); err == nil && t.After(at) == past {
				return false
			}
		}
	}
	return true
}

// property is one of a code: its value is of one of these types.
type property struct {
	Code    string  `json:"code"`
	Integer int     `json:"valueInteger"`
	Boolean *bool   `json:"valueBoolean"`
	Coding  *coding `json:"valueCoding"`
	At      string  `json:"valueDateTime"`
}

// text gives the value as props has it.
func (p property) text() string {
	if p.Boolean != nil {
		return strconv.FormatBool(*p.Boolean)
	}
	return cmp.Or(p.Coding.code(), p.At)
}

func (r *Reference) system(ctx context.Context, name string) (map[string]refCode, error) {
	return r.systemBy(ctx, &r.Client, name)
}

// systemBy reads a code system as somebody, or gives what is known of it: they are the same for all. What was read before
// is better than nothing when e-RS does not answer.
func (r *Reference) systemBy(ctx context.Context, who *Client, name string) (map[string]refCode, error) {
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
			Code     string     `json:"code"`
			Display  string     `json:"display"`
			Property []property `json:"property"`
		} `json:"concept"`
	}
	err := who.read(ctx, "A004", "/STU3/CodeSystem/"+name, &set)
	if err == nil && (set.ResourceType != "CodeSystem" || len(set.Concept) == 0) {
		err = foreign("A004")
	}
	if err != nil {
		return have.codes, err
	}
	codes := map[string]refCode{}
	for _, c := range set.Concept {
		x := refCode{display: c.Display, days: map[string]int{}, props: map[string][]string{}}
		for _, p := range c.Property {
			if p.Integer > 0 {
				x.days[p.Code] = p.Integer
			} else if value := p.text(); value != "" {
				x.props[p.Code] = append(x.props[p.Code], value)
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
func (r *Reference) reviewBy(ctx context.Context, priority, state string, sent time.Time, cal pathway.Calendar) time.Time {
	codes, _ := r.system(ctx, priorities) // without them the limits of the configuration hold
	property := "triageContactDays"
	if state == "DEFERRED_TO_PROVIDER" {
		property = "deferToProviderContactDays"
	}
	days := codes[priority].days[property]
	if days == 0 || sent.IsZero() {
		return time.Time{}
	}
	return cal.After(sent, pathway.Span{Days: days})
}
