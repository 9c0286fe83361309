package pathway

import (
	"slices"
	"testing"
	"time"
)

// london is the calendar of most sites.
func london(t *testing.T) Calendar {
	t.Helper()
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return Calendar{Zone: zone}
}

// published are the bank holidays of England and Wales of GOV.UK (gov.uk/bank-holidays), of years in which none was moved
// or added.
var published = []string{
	"2018-01-01", "2018-03-30", "2018-04-02", "2018-05-07", "2018-05-28", "2018-08-27", "2018-12-25", "2018-12-26",
	"2019-01-01", "2019-04-19", "2019-04-22", "2019-05-06", "2019-05-27", "2019-08-26", "2019-12-25", "2019-12-26",
	"2021-01-01", "2021-04-02", "2021-04-05", "2021-05-03", "2021-05-31", "2021-08-30", "2021-12-27", "2021-12-28",
	"2024-01-01", "2024-03-29", "2024-04-01", "2024-05-06", "2024-05-27", "2024-08-26", "2024-12-25", "2024-12-26",
	"2025-01-01", "2025-04-18", "2025-04-21", "2025-05-05", "2025-05-26", "2025-08-25", "2025-12-25", "2025-12-26",
	"2026-01-01", "2026-04-03", "2026-04-06", "2026-05-04", "2026-05-25", "2026-08-31", "2026-12-25", "2026-12-28",
	"2027-01-01", "2027-03-26", "2027-03-29", "2027-05-03", "2027-05-31", "2027-08-30", "2027-12-27", "2027-12-28",
	"2028-01-03", "2028-04-14", "2028-04-17", "2028-05-01", "2028-05-29", "2028-08-28", "2028-12-25", "2028-12-26",
}

func TestTheRulesGiveThePublishedBankHolidays(t *testing.T) {
	cal := london(t)
	years := map[int]bool{}
	for _, day := range published {
		at, _ := time.Parse(time.DateOnly, day)
		years[at.Year()] = true
	}
	if !years[Proclaimed] || years[Proclaimed+1] {
		t.Errorf("the list does not end with %d", Proclaimed)
	}
	for year := range years {
		for day := time.Date(year, 1, 1, 12, 0, 0, 0, time.UTC); day.Year() == year; day = day.AddDate(0, 0, 1) {
			weekend := day.Weekday() == time.Saturday || day.Weekday() == time.Sunday
			off := weekend || slices.Contains(published, day.Format(time.DateOnly))
			if cal.WorkingDay(day) == off {
				t.Errorf("%s: a working day is %v", day.Format("Mon 2006-01-02"), !off)
			}
		}
	}
}

// Every year has eight of them on eight weekdays, long after those that are published.
func TestEveryYearHasEightBankHolidays(t *testing.T) {
	cal := london(t)
	for year := 2018; year < 2100; year++ {
		n := 0
		for day := time.Date(year, 1, 1, 12, 0, 0, 0, time.UTC); day.Year() == year; day = day.AddDate(0, 0, 1) {
			if wd := day.Weekday(); wd != time.Saturday && wd != time.Sunday && !cal.WorkingDay(day) {
				n++
			}
		}
		if n != 8 {
			t.Errorf("%d has %d", year, n)
		}
	}
}

func TestASiteSaysWhichBankHolidaysDiffer(t *testing.T) {
	moved, err := NewCalendar(nil, []string{"2022-06-02", "2022-06-03"}, []string{"2022-05-30"}) // the Platinum Jubilee
	if err != nil {
		t.Fatal(err)
	}
	for day, working := range map[string]bool{"2022-05-30": true, "2022-06-01": true, "2022-06-02": false, "2022-06-03": false} {
		at, _ := time.Parse(time.DateOnly, day)
		if moved.WorkingDay(at) != working {
			t.Errorf("%s: a working day is %v", day, !working)
		}
	}
	if _, err := NewCalendar(nil, nil, []string{"30 May"}); err == nil {
		t.Error("30 May is taken for a date")
	}
}

// Limits over weekends, bank holidays and both changes of the clocks, in Europe/London whatever zone the machine is in.
func TestLimitsPassOverWeekendsBankHolidaysAndClockChanges(t *testing.T) {
	cal := london(t)
	for _, c := range []struct{ from, span, want string }{
		{"2026-11-27T12:00:00Z", "2wd", "2026-12-01T12:00:00Z"},      // Friday to Tuesday
		{"2026-12-24T12:00:00Z", "1wd", "2026-12-29T12:00:00Z"},      // Christmas, a weekend, Boxing Day kept on Monday
		{"2026-04-02T16:00:00Z", "1wd", "2026-04-07T17:00:00+01:00"}, // over Easter, at the same time of day
		{"2026-11-28T12:00:00Z", "1wd", "2026-11-30T12:00:00Z"},      // begun on a Saturday
		{"2026-08-28T09:30:00Z", "5wd", "2026-09-07T10:30:00+01:00"}, // the August bank holiday
		{"2026-03-27T09:00:00Z", "1wd", "2026-03-30T09:00:00+01:00"}, // clocks go forward on 29 March: 71 hours
		{"2026-10-23T09:00:00Z", "1wd", "2026-10-26T10:00:00Z"},      // and back on 25 October: 73 hours
		{"2026-03-28T12:00:00Z", "24h", "2026-03-29T13:00:00+01:00"}, // hours are hours
		{"2026-10-24T12:00:00+01:00", "24h", "2026-10-25T11:00:00Z"}, //
		{"2026-03-20T09:00:00Z", "14d", "2026-04-03T09:00:00+01:00"}, // days keep the time of day
		{"2026-03-28T01:30:00Z", "1d", "2026-03-29T02:30:00+01:00"},  // half past one is not there that night
		{"2026-07-10T23:30:00Z", "1wd", "2026-07-13T00:30:00+01:00"}, // Friday in UTC, Saturday at the site
		{"2026-11-27T09:00:00Z", "40wd", "2027-01-27T09:00:00Z"},     // routine triage over Christmas and New Year
		{"2028-12-22T09:00:00Z", "5wd", "2029-01-03T09:00:00Z"},      // beyond what is published: Christmas and 1 January
		{"2026-11-27T09:00:00Z", "0wd", "2026-11-27T17:00:00Z"},      // the same day
		{"2026-11-27T16:30:00Z", "0wd", "2026-11-27T18:30:00Z"},      // late in it
		{"2026-11-27T23:00:00Z", "0wd", "2026-11-30T10:00:00Z"},      // Friday night
		{"2026-12-25T09:00:00Z", "0wd", "2026-12-29T10:00:00Z"},      // Christmas
		{"2026-06-12T21:30:00Z", "0wd", "2026-06-15T10:00:00+01:00"}, // half past ten at night at the site
		{"2026-11-27T09:00:00+07:00", "0wd", "2026-11-27T17:00:00Z"}, // of a sender elsewhere
	} {
		from, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSpan(c.span)
		if err != nil {
			t.Fatal(err)
		}
		if got := cal.After(from, s).Format(time.RFC3339); got != c.want {
			t.Errorf("%s and %s: %s, want %s", c.from, c.span, got, c.want)
		}
	}
	for _, bad := range []string{"", "wd", "-1wd", "0d", "-1d", "5", "xh", "9999wd"} {
		if _, err := ParseSpan(bad); err == nil {
			t.Errorf("%q read as a span", bad)
		}
	}
}

// A limit is never over before it begins, and a longer one never before a shorter.
func TestLimitsOnlyGrow(t *testing.T) {
	cal := london(t)
	for h := range 366 * 8 {
		from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(h) * 3 * time.Hour)
		last := cal.After(from, Span{SameDay: true})
		if last.Sub(from) < 2*time.Hour {
			t.Fatalf("%s: %s to act", from, last.Sub(from))
		}
		last = from
		for days := 1; days < 6; days++ {
			due := cal.After(from, Span{Days: days})
			if !due.After(last) || !cal.WorkingDay(due) {
				t.Fatalf("%s and %dwd: %s", from, days, due)
			}
			last = due
		}
	}
}

// One clock runs through waiting for triage and triage, from when the request came; a priority that is raised shortens it, and
// what is sent again begins it anew.
func TestOneClockRunsThroughTriage(t *testing.T) {
	ms, ts, cal := machines(t), DefaultTimers(), london(t)
	c := &Case{Kind: Referral, State: Submitted, Urgency: Routine}
	at := noon
	fire := func(e Event) {
		t.Helper()
		if _, err := ms.Fire(c, e, at); err != nil {
			t.Fatal(err)
		}
	}
	due := func(want string) {
		t.Helper()
		if got, ok := ts.Due(c, cal); !ok || got.Format(time.RFC3339) != want {
			t.Errorf("due %s, want %s", got.Format(time.RFC3339), want)
		}
	}
	fire(AcceptedByChannel)
	due("2027-01-27T12:00:00Z")
	at = at.AddDate(0, 0, 5)
	fire(OpenedForReview)
	due("2027-01-27T12:00:00Z")
	at = at.AddDate(0, 0, 1)
	fire(PutBack)
	due("2027-01-27T12:00:00Z")
	c.Urgency = TwoWeekWait
	fire(RaisePriority)
	due("2026-12-01T12:00:00Z")
	if c.Due = at.AddDate(0, 0, 9); true { // the channel says when
		due("2026-12-12T12:00:00Z")
	}
	c.Due = time.Time{}
	fire(ReturnWithAdvice)
	fire(Resent)
	fire(AcceptedByChannel)
	due("2026-12-07T12:00:00Z")
}

// An answer that is amended must be read again: its clock begins anew, and "please refer" has the same day.
func TestAnAmendedAnswerHasAClockOfItsOwn(t *testing.T) {
	ms, ts, cal := machines(t), DefaultTimers(), london(t)
	c := &Case{Kind: Advice, State: AwaitingProvider, Urgency: Routine}
	if _, err := ms.Fire(c, ReturnWithAdvice, noon); err != nil {
		t.Fatal(err)
	}
	if due, _ := ts.Due(c, cal); due.Format(time.DateOnly) != "2026-12-01" {
		t.Errorf("due %s", due)
	}
	c.Outcome.Recommendation = ReferralRecommended
	if _, err := ms.Fire(c, AnswerAmended, noon.AddDate(0, 0, 3)); err != nil {
		t.Fatal(err)
	}
	if due, _ := ts.Due(c, cal); due.Format(time.RFC3339) != "2026-11-30T17:00:00Z" {
		t.Errorf("please refer: due %s", due)
	}
}

// Who is asked, in the order in which they are, in every state that has a clock.
func TestEveryClockHasSomebodyToAsk(t *testing.T) {
	for kind, m := range machines(t) {
		for _, s := range m.States {
			if m.Ended(s) || s == m.Initial {
				continue
			}
			steps := m.Escalation(s)
			if len(steps) == 0 {
				t.Errorf("%s %s: nobody", kind, s)
			}
			for _, role := range slices.Concat(steps...) {
				if !slices.Contains([]string{RoleRequester, RolePractice, RoleProvider, RoleOperations}, role) {
					t.Errorf("%s %s: no such role %q", kind, s, role)
				}
			}
		}
	}
	ms := machines(t)
	for want, got := range map[string][][]string{
		"provider,requester":   ms[Advice].Escalation(AwaitingProvider),
		"requester;practice":   ms[Advice].Escalation(Responded),
		"operations;requester": ms[Referral].Escalation(SendFailed),
		"provider":             ms[Referral].Escalation(ProviderToAction),
	} {
		text := ""
		for i, step := range got {
			if i > 0 {
				text += ";"
			}
			for j, role := range step {
				if j > 0 {
					text += ","
				}
				text += role
			}
		}
		if text != want {
			t.Errorf("asked %s, want %s", text, want)
		}
	}
}
