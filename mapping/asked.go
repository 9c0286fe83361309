package mapping

import (
	"slices"

	"github.com/dermgate/dermgate/mapping/issue"
)

// source1 is what a rule of the source (KindRule, UrgencyRule) found.
type source1 struct {
	value   string
	trouble *issue.Issue
}

// find looks a source's kind up.
func (k KindRule) find(r *run) source1 {
	if k.From.Field() == 0 {
		return source1{trouble: issue.New(issue.Required, "RF1-3.1", "this source has no rule that tells advice from referral")}
	}
	v := r.m.Get(k.From)
	if !v.Valued() {
		return source1{trouble: issue.New(issue.Required, k.From.String(), "tells advice from referral and is absent")}
	}
	advice, referral := false, false
	for _, rep := range v.EachRepetition() {
		code := r.verbatim(rep)
		advice, referral = advice || slices.Contains(k.Advice, code), referral || slices.Contains(k.Referral, code)
	}
	switch {
	case advice && referral:
		return source1{trouble: issue.New(issue.Code, k.From.String(), "says both advice and referral")}
	case advice:
		return source1{value: "advice"}
	case referral:
		return source1{value: "referral"}
	}
	return source1{trouble: issue.New(issue.Code, k.From.String(), "is neither advice nor referral by this source's rule")}
}

// find looks a source's urgency up; the highest one stated stands.
func (u UrgencyRule) find(r *run) source1 {
	if u.From.Field() == 0 {
		return source1{}
	}
	var found [3]bool
	for _, rep := range r.m.Get(u.From).EachRepetition() {
		code := r.verbatim(rep)
		for i, list := range [...][]string{u.TwoWeekWait, u.Urgent, u.Routine} {
			found[i] = found[i] || slices.Contains(list, code)
		}
	}
	for i, name := range [...]string{"TWO_WEEK_WAIT", "URGENT", "ROUTINE"} {
		if found[i] {
			return source1{value: name}
		}
	}
	return source1{}
}
