package pathway

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Span is a time limit: plain hours, or working days counted in the calendar of the site.
type Span struct {
	Hours time.Duration
	Days  int // working days; 0: Hours counts
}

// ParseSpan reads "5wd" (working days), "14d" (calendar days) or a Go duration such as "15m".
func ParseSpan(s string) (Span, error) {
	if n, ok := strings.CutSuffix(s, "wd"); ok {
		days, err := strconv.Atoi(n)
		if err != nil || days < 1 {
			return Span{}, fmt.Errorf("%q is no number of working days", s)
		}
		return Span{Days: days}, nil
	}
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.Atoi(n)
		if err != nil || days < 1 {
			return Span{}, fmt.Errorf("%q is no number of days", s)
		}
		return Span{Hours: time.Duration(days) * 24 * time.Hour}, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return Span{}, fmt.Errorf("%q is no time span such as 15m, 2h, 14d or 5wd", s)
	}
	return Span{Hours: d}, nil
}

// bankHolidays of England and Wales, from gov.uk/bank-holidays.json.
var bankHolidays = map[string]bool{
	"2026-01-01": true, "2026-04-03": true, "2026-04-06": true, "2026-05-04": true, "2026-05-25": true,
	"2026-08-31": true, "2026-12-25": true, "2026-12-28": true,
	"2027-01-01": true, "2027-03-26": true, "2027-03-29": true, "2027-05-03": true, "2027-05-31": true,
	"2027-08-30": true, "2027-12-27": true, "2027-12-28": true,
	"2028-01-03": true, "2028-04-14": true, "2028-04-17": true, "2028-05-01": true, "2028-05-29": true,
	"2028-08-28": true, "2028-12-25": true, "2028-12-26": true,
}

// WorkingDay tells whether t falls on one, in t's own zone.
func WorkingDay(t time.Time) bool {
	return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday && !bankHolidays[t.Format(time.DateOnly)]
}

// After gives the end of the span begun at t, in t's zone; working days keep the time of day.
func (s Span) After(t time.Time) time.Time {
	if s.Days == 0 {
		return t.Add(s.Hours)
	}
	for left := s.Days; left > 0; {
		t = t.AddDate(0, 0, 1)
		if WorkingDay(t) {
			left--
		}
	}
	return t
}

// Timers are the limits of the open states, by configuration key. Sources: pathway.md §1.2 and §6.
type Timers map[string]Span

// DefaultTimers gives the limits of the clinical pathway.
func DefaultTimers() Timers {
	return Timers{
		"held": {Days: 1}, "held_suspected": {Hours: time.Hour},
		"submitted": {Hours: 15 * time.Minute}, "send_failed": {Hours: time.Hour}, "send_failed_suspected": {Hours: 15 * time.Minute},
		"advice": {Days: 5}, "advice_urgent": {Days: 2}, "info": {Days: 5}, "unread": {Days: 2}, "unread_urgent": {Hours: 8 * time.Hour},
		"reviewed": {Days: 2}, "refer": {Days: 5}, "refer_suspected": {Days: 1},
		"triage_two_week_wait": {Days: 2}, "triage_urgent": {Days: 5}, "triage_routine": {Days: 40},
		"action_two_week_wait": {Days: 2}, "action_urgent": {Days: 5}, "action_routine": {Days: 10},
		"booked": {Hours: 28 * 24 * time.Hour}, "returned": {Days: 2}, "returned_suspected": {Hours: 8 * time.Hour}, "notice": {Days: 2},
	}
}

// Limit gives the span after which somebody must act on a case that stays in its state; ok is false in
// states without a clock. A request of unknown urgency is timed as an urgent one: nothing is guessed, and
// nothing waits longer for it.
func (ts Timers) Limit(c *Case) (Span, bool) {
	key := ""
	switch c.State {
	case Held:
		key = suspected(c, "held")
	case Submitted:
		key = "submitted"
	case SendFailed:
		key = suspected(c, "send_failed")
	case AwaitingProvider:
		key = "advice"
		if c.Urgency != Routine {
			key = "advice_urgent"
		}
	case InfoRequested:
		key = "info"
	case Responded:
		key = "unread"
		if c.Outcome.Recommendation == "REFERRAL_RECOMMENDED" || c.Outcome.Priority == TwoWeekWait || c.Suspected() {
			key = "unread_urgent"
		}
	case Reviewed:
		key = "reviewed"
		if c.Outcome.Decision == "i-will-refer" {
			key = suspected(c, "refer")
		}
	case AwaitingTriage, InTriage:
		key = "triage_" + byUrgency(c)
	case ProviderToAction:
		key = "action_" + byUrgency(c)
	case Booked:
		key = "booked"
	case Returned:
		key = suspected(c, "returned")
	case EndedNoticeDue:
		key = "notice"
	}
	s, ok := ts[key]
	return s, ok
}

func suspected(c *Case, key string) string {
	if c.Suspected() {
		return key + "_suspected"
	}
	return key
}

func byUrgency(c *Case) string {
	if c.Urgency == "" {
		return "urgent"
	}
	return strings.ToLower(c.Urgency)
}

// NoticeDue gives the day by which a notice must have reached the patient (pathway.md §4.3).
func NoticeDue(notice string, at time.Time) time.Time {
	switch notice {
	case "N1", "N7", "N8":
		return at.Add(24 * time.Hour)
	case "N4":
		return Span{Days: 2}.After(at)
	}
	return Span{Days: 1}.After(at)
}
