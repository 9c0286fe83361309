package mapping_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dermgate/dermgate/fixtures/corpus"
	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// unmappedBelow is what share of a type's valued leaves may stay unmapped over the corpus.
const unmappedBelow = 0.15

// closed are the message types that keep below it.
var closed = []string{"ACK", "ADT", "MDM", "ORM", "ORU", "REF", "SIU"}

// loss is the account of one message type over the corpus.
type loss struct {
	messages, refused int
	leaves            mapping.Count
	unmapped          map[string]int // leaves by place, "OBX-17.1"
	refusals          map[string]int // messages by the issue that refuses them
}

// refusedPatients are the messages of the corpus that are refused although they name a patient, with the reason.
var refusedPatients = map[string]string{
	"lenaten-go/msg3.hl7": "PID[2]: a second patient: each needs a message of their own",
}

// TestCorpusAccountsForEveryLeaf translates every message of the corpus that a map takes: its leaves add up to
// what the parser sees, and its Bundle passes our validator and google/fhir. With -v it prints the table.
func TestCorpusAccountsForEveryLeaf(t *testing.T) {
	t.Parallel()
	types, without := map[string]*loss{}, map[string]int{}
	for name, raw := range corpus.HL7v2() {
		m, err := hl7.Parse(raw)
		if err != nil {
			without[fmt.Sprint(err)]++ // mapping/hl7 tests what it refuses
			continue
		}
		translateCorpus(t, name, m, types, without)
	}
	logLoss(t, types, without)
	for _, code := range closed {
		l := types[code]
		if l == nil {
			t.Errorf("%s: no message in the corpus", code)
		} else if share := l.share(); share >= unmappedBelow {
			t.Errorf("%s: %.1f %% of %d valued leaves are unmapped", code, 100*share, l.leaves.Valued)
		}
	}
}

func translateCorpus(t *testing.T, name string, m *hl7.Message, types map[string]*loss, without map[string]int) {
	t.Helper()
	code, trigger, _ := m.Type()
	o := corpusOptions(t)
	if utf8.Valid(m.Original()) {
		o.Charset = "" // which reads as UTF-8
	}
	res, err := shippedSet(t).ToFHIR(m, o)
	if err != nil {
		if kind := issue.From(err).Kind; kind != issue.UnsupportedType && kind != issue.UnsupportedEvent && refusedPatients[name] != err.Error() {
			t.Errorf("%s: %v", name, err)
		}
		without[code+"^"+trigger]++
		return
	}
	defer res.Release()
	if worst := res.Issues.Worst(); worst != nil && m.Find("PID", 1).OK() {
		t.Errorf("%s: refused, although it has a patient: %v", name, worst)
	}
	want := 0
	for _, v := range m.Leaves() {
		if v.Valued() {
			want++
		}
	}
	c := res.Leaves
	if c.Valued != want || c.Valued != c.Mapped+c.Ignored+c.Unmapped || c.Unmapped != len(res.Unmapped) {
		t.Errorf("%s: %+v, %d unmapped listed, the parser sees %d", name, c, len(res.Unmapped), want)
	}
	if l := fhir.Validate(res.Bundle.Root); len(l) > 0 {
		t.Errorf("%s: invalid: %v", name, l)
	}
	written := compact(t, res.Bundle.Root)
	unmarked(t, written)
	// The reader asks google/fhir, too.
	if _, l := fhir.Read(written, fhir.ReadOptions{}); len(l) > 0 {
		t.Errorf("%s: refused when read back: %v", name, l)
	}
	if types[code] == nil {
		types[code] = &loss{unmapped: map[string]int{}, refusals: map[string]int{}}
	}
	types[code].add(res)
}

// corpusOptions are those of a source that states the kind of every request somewhere: REF is refused without.
func corpusOptions(t *testing.T) mapping.Options {
	o := options(t)
	o.Charset = "8859/1" // of messages that name none
	o.Kind = mapping.KindRule{From: hl7.MustPath("MSH-11.1"), Referral: []string{"P", "T", "D"}}
	return o
}

func (l *loss) add(res *mapping.Result) {
	l.messages++
	l.leaves.Valued += res.Leaves.Valued
	l.leaves.Mapped += res.Leaves.Mapped
	l.leaves.Ignored += res.Leaves.Ignored
	l.leaves.Unmapped += res.Leaves.Unmapped
	for _, p := range res.Unmapped {
		l.unmapped[place(p)]++
	}
	if worst := res.Issues.Worst(); worst != nil {
		l.refused++
		l.refusals[string(worst.Kind)+" "+worst.Where+": "+worst.Text]++
	}
}

func (l *loss) share() float64 {
	return float64(l.leaves.Unmapped) / float64(max(l.leaves.Valued, 1))
}

// place names a field and its component without occurrences.
func place(p hl7.Path) string {
	s := p.String()
	for i := strings.IndexByte(s, '['); i >= 0; i = strings.IndexByte(s, '[') {
		s = s[:i] + s[i+strings.IndexByte(s[i:], ']')+1:]
	}
	return s
}

func logLoss(t *testing.T, types map[string]*loss, without map[string]int) {
	var b strings.Builder
	fmt.Fprintf(&b, "no map, or no message: %s\n", most(without, 100))
	fmt.Fprintf(&b, "\n%-5s %8s %8s %8s %8s %8s %9s %8s\n", "type", "messages", "valued", "mapped", "ignored", "unmapped", "share", "refused")
	for _, code := range slices.Sorted(maps.Keys(types)) {
		l := types[code]
		fmt.Fprintf(&b, "%-5s %8d %8d %8d %8d %8d %7.1f %% %8d\n", code, l.messages, l.leaves.Valued, l.leaves.Mapped, l.leaves.Ignored, l.leaves.Unmapped, 100*l.share(), l.refused)
	}
	for _, code := range slices.Sorted(maps.Keys(types)) {
		fmt.Fprintf(&b, "%s unmapped most: %s\n", code, most(types[code].unmapped, 40))
		if types[code].refused > 0 {
			fmt.Fprintf(&b, "%s refused: %s\n", code, most(types[code].refusals, 20))
		}
	}
	t.Log(b.String())
}

// most lists the most frequent.
func most(count map[string]int, n int) string {
	keys := slices.SortedFunc(maps.Keys(count), func(a, b string) int { return cmp.Or(count[b]-count[a], strings.Compare(a, b)) })
	var out []string
	for _, k := range keys[:min(n, len(keys))] {
		out = append(out, fmt.Sprintf("%s %d", k, count[k]))
	}
	return strings.Join(out, ", ")
}
