package pathway

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Span is a time limit: plain hours, days of the calendar, working days, or the working day on which it begins. One of
// them is set.
type Span struct {
	Hours    time.Duration
	Calendar int  // days that keep the time of day, whatever the clocks do
	Days     int  // working days
	SameDay  bool // by the end of the working day
}

// ParseSpan reads "5wd" (working days), "0wd" (the same working day), "14d" (calendar days) or a Go duration such as "15m".
func ParseSpan(s string) (Span, error) {
	if n, ok := strings.CutSuffix(s, "wd"); ok {
		days, err := strconv.Atoi(n)
		if err != nil || days < 0 || days > mostDays {
			return Span{}, fmt.Errorf("%q is no number of working days", s)
		}
		return Span{Days: days, SameDay: days == 0}, nil
	}
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.Atoi(n)
		if err != nil || days < 1 || days > mostDays {
			return Span{}, fmt.Errorf("%q is no number of days", s)
		}
		return Span{Calendar: days}, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return Span{}, fmt.Errorf("%q is no time span such as 15m, 2h, 14d or 5wd", s)
	}
	return Span{Hours: d}, nil
}

// mostDays of a limit: ten years.
const mostDays = 3650

// Calendar tells the working days of England in a time zone: Monday to Friday, but for the bank holidays of England and
// Wales and what a site says besides. The zero value has no zone of its own: it takes times as they are.
type Calendar struct {
	Zone *time.Location
	also map[string]bool // days off that no rule gives, "2027-06-07"
	not  map[string]bool // days that the rules give and that are none
}

// NewCalendar makes the calendar of a zone. also are days off besides the usual bank holidays, not those that were moved
// away, each as "2027-06-07"; an error names one that is no date.
func NewCalendar(zone *time.Location, also, not []string) (Calendar, error) {
	c := Calendar{zone, map[string]bool{}, map[string]bool{}}
	for _, days := range []struct {
		from []string
		to   map[string]bool
	}{{also, c.also}, {not, c.not}} {
		for _, day := range days.from {
			if _, err := time.Parse(time.DateOnly, day); err != nil {
				return c, fmt.Errorf("%q is no date such as 2027-06-07", day)
			}
			days.to[day] = true
		}
	}
	return c, nil
}

// Proclaimed is the last year of which GOV.UK has published the bank holidays that the rules here were held against.
// Those of later years follow by the rules, but for days that a proclamation moves or adds.
const Proclaimed = 2028

// WorkingDay tells whether t falls on one.
func (c Calendar) WorkingDay(t time.Time) bool {
	t = c.in(t)
	if day := t.Weekday(); day == time.Saturday || day == time.Sunday {
		return false
	}
	date := t.Format(time.DateOnly)
	return !c.also[date] && (c.not[date] || !bankHoliday(t))
}

// After gives the end of a span begun at t, in the calendar's zone. Working days, and days, keep the time of day; working
// days begun on no working day count from the next one's eve.
func (c Calendar) After(t time.Time, s Span) time.Time {
	t = c.in(t)
	switch {
	case s.SameDay:
		return c.sameDay(t)
	case s.Calendar > 0:
		return t.AddDate(0, 0, s.Calendar)
	case s.Days == 0:
		return t.Add(s.Hours)
	}
	for left := s.Days; left > 0; {
		t = t.AddDate(0, 0, 1)
		if c.WorkingDay(t) {
			left--
		}
	}
	return t
}

// Hours of the working day: what must be done the same day is due when it ends, or two hours after it came where that is
// later. What came when nobody works is due in the morning of the next working day.
const (
	morning   = 10
	dayEnds   = 17
	atLeast   = 2 * time.Hour
	nightfall = 22
)

func (c Calendar) sameDay(t time.Time) time.Time {
	if c.WorkingDay(t) && t.Hour() < nightfall {
		end := time.Date(t.Year(), t.Month(), t.Day(), dayEnds, 0, 0, 0, t.Location())
		if soonest := t.Add(atLeast); soonest.After(end) {
			return soonest
		}
		return end
	}
	for t = t.AddDate(0, 0, 1); !c.WorkingDay(t); {
		t = t.AddDate(0, 0, 1)
	}
	return time.Date(t.Year(), t.Month(), t.Day(), morning, 0, 0, 0, t.Location())
}

func (c Calendar) in(t time.Time) time.Time {
	if c.Zone == nil {
		return t
	}
	return t.In(c.Zone)
}

// bankHoliday tells the bank holidays of England and Wales (Banking and Financial Dealings Act 1971 and the yearly
// proclamations): New Year's Day, Good Friday, Easter Monday, the first and the last Monday of May, the last of August,
// Christmas Day and Boxing Day. One that falls on a weekend is kept on the next day that is free.
func bankHoliday(t time.Time) bool {
	day, monday := t.Day(), t.Weekday() == time.Monday
	switch t.Month() {
	case time.January:
		return day == 1 || monday && day <= 3
	case time.May:
		return monday && (day <= 7 || day > 24)
	case time.August:
		return monday && day > 24
	case time.December:
		return day == 25 || day == 26 || day == 27 && (monday || t.Weekday() == time.Tuesday) || day == 28 && (monday || t.Weekday() == time.Tuesday)
	case time.March, time.April:
		e := easter(t.Year())
		year, month, date := t.Date()
		since := time.Date(year, month, date, 0, 0, 0, 0, time.UTC).Sub(e) / (24 * time.Hour)
		return since == -2 || since == 1
	}
	return false
}

// easter gives Easter Sunday (the anonymous Gregorian computus).
func easter(year int) time.Time {
	a, b, c := year%19, year/100, year%100
	d, e := b/4, b%4
	g := (8*b + 13) / 25
	h := (19*a + b - d - g + 15) % 30
	i, k := c/4, c%4
	l := (32 + 2*e + 2*i - h - k) % 7
	m := (a + 11*h + 19*l) / 433
	month := (h + l - 7*m + 90) / 25
	day := (h + l - 7*m + 33*month + 19) % 32
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
}

// NoticeDue gives the day by which a notice must have reached the patient (pathway.md §4.3).
func (c Calendar) NoticeDue(notice string, at time.Time) time.Time {
	switch notice {
	case "N1", "N7", "N8":
		return at.Add(24 * time.Hour)
	case "N4":
		return c.After(at, Span{Days: 2})
	}
	return c.After(at, Span{Days: 1})
}
