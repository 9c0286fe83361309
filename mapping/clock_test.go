package mapping

import (
	"testing"
	"time"
)

// TestClockLikeTheZone: a clock that remembers days gives what the zone itself gives, every quarter of an
// hour of the days around its changes, in zones that change at midnight and by half an hour too.
func TestClockLikeTheZone(t *testing.T) {
	for _, name := range []string{"Europe/London", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		c := clock{zone: zone}
		for _, first := range []time.Time{date(2026, 3, 27), date(2026, 10, 23), date(2018, 11, 2), date(2018, 2, 16), date(2026, 4, 3), date(2026, 10, 2), date(1968, 2, 17)} {
			for at := first; at.Before(first.AddDate(0, 0, 4)); at = at.Add(15 * time.Minute) {
				m := moment{n: [6]int{at.Year(), int(at.Month()), at.Day(), at.Hour(), at.Minute(), 0}, precision: 6}
				offset, sure := c.offset(&m)
				if wantOffset, wantSure := m.local(zone); offset != wantOffset || sure != wantSure {
					t.Fatalf("%s %s: %d %v, want %d %v", name, at.Format(time.DateTime), offset, sure, wantOffset, wantSure)
				}
			}
		}
	}
}

func date(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}
