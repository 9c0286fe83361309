package hl7

import (
	"strings"
	"testing"
	"time"

	"github.com/dermgate/dermgate/mapping/issue"
)

// TestAcknowledgementsKeepToTheirVersion: an answer is of the version of its message and has no place that it lacks; every
// trouble is in it with its code and, before v2.5 with one ERR, after with one each, its place.
func TestAcknowledgementsKeepToTheirVersion(t *testing.T) {
	issues := []*issue.Issue{
		issue.New(issue.Required, "PID-3[2].4.2", "an assigning authority"),
		issue.New(issue.Code, "OBX[3]-11", "an observation status"),
		issue.Warn(issue.Unmapped, "PV1-19", "kept with the original"),
		issue.New(issue.Internal, "", "our own fault"),
	}
	for _, version := range Versions {
		v, _ := VersionOf(version)
		old := before(version, "2.5")
		for _, code := range []string{"", "CE"} {
			m, err := Parse([]byte("MSH|^~\\&|A|B|C|D|20261124101500||REF^I12^REF_I12|M1|P|" + version + "|||AL|AL||UNICODE UTF-8\rPID|1"))
			if err != nil {
				t.Fatal(err)
			}
			a, err := Parse(m.Acknowledge(Ack{Code: code, ControlID: "A1", At: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Issues: issues}))
			if err != nil {
				t.Fatal(err)
			}
			for p := range a.Leaves() {
				if p.Segment() == "MSH" && p.Field() <= 2 {
					continue
				}
				if why := v.Lacks(p.Segment(), p.Field(), max(p.Repetition(), 1), p.Component(), p.Subcomponent()); why != "" {
					t.Errorf("%s: %s: %s", version, p, why)
				}
			}
			if got, err := a.Answer(); err != nil || len(got.Errors) != len(issues) || got.ControlID != "M1" {
				t.Errorf("%s: %+v, %v", version, got, err)
			} else if got.Errors[1].Code != "103" || got.Errors[1].Where.Segment() != "OBX" || got.Errors[1].Where.Field() != 11 {
				t.Errorf("%s: the second trouble is %v", version, got.Errors[1])
			}
			if a.Version() != version || a.Count("ERR") != map[bool]int{true: 1, false: len(issues)}[old] || a.Get(MustPath("MSA-3")).Valued() != old {
				t.Errorf("%s:\n%s", version, strings.ReplaceAll(string(a.Bytes()), "\r", "\n"))
			}
		}
	}
}
