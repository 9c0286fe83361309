package flow

import (
	"slices"
	"testing"

	"github.com/dermgate/dermgate/gateway/pathway"
	"github.com/dermgate/dermgate/mapping/hl7"
)

func names(es []Endpoint) []string {
	var out []string
	for _, e := range es {
		out = append(out, e.Name)
	}
	return out
}

func TestRoutes(t *testing.T) {
	p := &Pipeline{
		Endpoints: []Endpoint{{Name: "ers", Kind: ToERS}, {Name: "ag", Kind: ToFHIR}, {Name: "epr", Kind: ToMLLP}, {Name: "gp", Kind: ToMLLP}, {Name: "patient", Kind: ToNotify}},
		Routes: []Route{
			{When{Case: "advice"}, []string{"ag"}},
			{When{Case: "referral"}, []string{"ers"}},
			{When{Event: Triaged, Outcome: OutcomeAccepted}, []string{"epr", "gp"}},
			{When{Event: Answered}, []string{"gp"}},
			{When{Event: Ended, Outcome: OutcomeEnded}, []string{"epr"}},
			{When{}, []string{"ers", "gp", "patient", "nobody"}},
		},
	}
	for _, c := range []struct {
		facts Facts
		want  []string
	}{
		{Facts{Event: Requested, Kind: pathway.Advice}, []string{"ag", "ers", "gp"}},
		{Facts{Event: Requested, Kind: pathway.Referral}, []string{"ers", "gp"}},
		{Facts{Event: Triaged, Kind: pathway.Referral, Result: OutcomeAccepted}, []string{"epr", "gp"}}, // e-RS is never told an outcome
		{Facts{Event: Triaged, Kind: pathway.Referral, Result: OutcomeReturned}, []string{"gp"}},
		{Facts{Event: Ended, Kind: pathway.Referral, Result: (&Facts{Event: Ended}).result()}, []string{"epr", "gp"}},
		{Facts{Event: Answered, Kind: pathway.Advice}, []string{"gp"}}, // nothing that creates a referral
	} {
		if got := names(p.route(c.facts)); !slices.Equal(got, c.want) {
			t.Errorf("%+v goes to %v, want %v", c.facts, got, c.want)
		}
	}
}

func TestUrgentAndUnknownUrgencyAreClaimedFirst(t *testing.T) {
	for urgency, want := range map[string]int{pathway.TwoWeekWait: ClassUrgent, "": ClassUrgent, pathway.Urgent: ClassRoutine, pathway.Routine: ClassRoutine} {
		if class(urgency) != want {
			t.Errorf("%q: class %d", urgency, class(urgency))
		}
	}
}

func TestWhatMayDifferInARepeatDoesNotCount(t *testing.T) {
	parse := func(at, id string) *hl7.Message {
		m, err := hl7.Parse([]byte("MSH|^~\\&|A|B|C|D|" + at + "||ADT^A28|" + id + "|P|2.4\rPID|1||1"))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	ignore := []hl7.Path{hl7.MustPath("MSH-7")}
	a, b, other := parse("20261103", "1"), parse("20261104101010", "1"), parse("20261103", "2")
	if digestWithout(a, ignore) != digestWithout(b, ignore) {
		t.Error("another MSH-7 counts as another message")
	}
	if digestWithout(a, ignore) == digestWithout(other, ignore) {
		t.Error("another MSH-10 does not count")
	}
	if digestWithout(a, nil) == digestWithout(b, nil) {
		t.Error("nothing may differ, and a difference is passed over")
	}
}

func TestIDsCarryTheirPartitionAndReadBack(t *testing.T) {
	for p := range Partitions {
		id := NewID(p, "a", "b")
		back, err := ParseID(id.String())
		if err != nil || back != id || id.Partition() != p {
			t.Errorf("%s: %v, partition %d", id, err, id.Partition())
		}
	}
	if NewID(1, "ab", "c") == NewID(1, "a", "bc") {
		t.Error("parts run into each other")
	}
}

func TestNoticesFitTheirChannelAndSayNoDiagnosis(t *testing.T) {
	n, err := LoadNotices(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"N1", "N2", "N3", "N4", "N5", "N6", "N7", "N8"} {
		for _, w := range []NoticeWords{{}, {Advice: true}, {Suspected: true, Practice: "P", Hospital: "H"}, {Event: "N3-appointment"}, {Event: "N3-outcome-surgery-or-test"}, {Event: "N6-returned-to-gp"}} {
			text, ok, err := n.Text(id, w)
			if err != nil || !ok || text == "" {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
	if _, ok, _ := n.Text("N9", NoticeWords{}); ok {
		t.Error("a cancer diagnosis has a text: it is never told by machine")
	}
	if (&pathway.Obligation{Notice: "N9"}).ByMachine() {
		t.Error("a machine may tell a cancer diagnosis")
	}
}
