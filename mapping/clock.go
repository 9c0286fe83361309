package mapping

import "time"

// clock is a time zone that remembers a day without a change: most times of a message are of one day.
type clock struct {
	zone    *time.Location
	day     [3]int // year, month, day; zero: none
	minutes int    // its offset
}

// offset gives the offset in minutes at a time; sure is false when the clock shows that time twice or never.
func (c *clock) offset(m *moment) (minutes int, sure bool) {
	if day := [3]int(m.n[:3]); day == c.day {
		return c.minutes, true
	} else if midnight := time.Date(day[0], time.Month(day[1]), day[2], 0, 0, 0, 0, c.zone); steady(midnight) {
		_, seconds := midnight.Zone()
		c.day, c.minutes = day, seconds/60
		return c.minutes, true
	}
	return m.local(c.zone)
}

// steady tells a day whose clock is not changed, from an hour before it begins to an hour after it ends.
func steady(midnight time.Time) bool {
	start, end := midnight.ZoneBounds()
	return (start.IsZero() || !midnight.Add(-time.Hour).Before(start)) && (end.IsZero() || midnight.Add(25*time.Hour).Before(end))
}
