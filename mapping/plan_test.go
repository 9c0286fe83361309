package mapping

import (
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

// TestPlanLeavesOutOnlyWhatCannotWrite runs, of every shipped map on every segment and repetition of a message it may
// meet, the rules that its plan leaves out: none may write.
func TestPlanLeavesOutOnlyWhatCannotWrite(t *testing.T) {
	f := &faults{}
	sources, _, names, _ := readLayers([]fs.FS{maps.FS}, f)
	c := &compiler{faults: f, schema: fhir.R4(), names: names, tables: buildTables(sources, f), sources: merge(sources, f),
		programs: map[string]*program{}, used: map[string]bool{}, shapes: map[*program]*shape{}}
	c.exprs = newExprs(f, c.tables)
	m, err := hl7.Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	r := &run{tree: fhir.NewTree(), set: &Set{}}
	r.begin(m, &Options{Source: "test"})
	r.bundle, _ = fhir.NewBundle(r.tree, "message")
	out, ran := 0, 0
	for _, src := range sources {
		if src.to == "" || !isSegment(src.from) && !isDatatype(src.from) {
			continue
		}
		p := c.compile(src)
		if len(f.list) > 0 {
			t.Fatal(f.list)
		}
		for _, sc := range scopesFor(r, src) {
			a, b := leftOut(t, p, sc)
			out, ran = out+a, ran+b
		}
	}
	if out < 5000 || ran < 5000 {
		t.Errorf("only %d rules left out and %d not", out, ran)
	}
}

// leftOut runs the rules that a plan leaves out in a scope, and counts them and the others.
func leftOut(t *testing.T, p *program, sc *scope) (out, others int) {
	r := sc.run
	sc.part()
	valued := sc.parts.Valued()
	if p.segment {
		valued = r.pieces.Valued(sc.seg.Index())
	}
	for i := range p.plan {
		mask, told := p.plan[i].possible(sc, valued)
		for k := range min(64, len(p.rules)-p.plan[i].first) {
			rule := &p.rules[p.plan[i].first+k]
			if mask>>k&1 != 0 {
				others++
				sc.told = told>>k&1 != 0
				if sc.told && rule.holds(sc) != rule.when.yes(sc) {
					t.Errorf("%s: the condition of the rule at %s is told otherwise", p.src.name.s, rule.pos)
				}
				continue
			}
			out++
			sc.told = false
			sc.el, _ = r.tree.NewResource("Basic")
			if p.typ.Kind == fhir.Resource {
				sc.el, _ = r.tree.NewResource(p.typ.Name)
			}
			sc.slots = r.push(p.slots)
			said, writes := len(r.issues), r.writes
			if rule.run(sc); r.writes != writes || len(r.issues) > said {
				t.Errorf("%s: the rule at %s writes and was left out", p.src.name.s, rule.pos)
			}
			r.slots = r.slots[:0]
		}
	}
	return out, others
}

// TestPlanOfManyRules: a map may have more rules than one plan holds.
func TestPlanOfManyRules(t *testing.T) {
	var rules strings.Builder
	for n := range 70 {
		rules.WriteString("  - OBX-3.2 -> category.text: string\n    when: OBX-2 == \"T" + strconv.Itoa(n) + "\"\n")
	}
	set, err := Load(maps.FS, fstest.MapFS{"segments/OBX[Observation].yaml": {Data: []byte("map: OBX[Observation]\nextend: true\nrules:\n" + rules.String())}})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int{0: 1, 63: 1, 64: 1, 69: 1, 70: 0} {
		m, err := hl7.Parse([]byte("MSH|^~\\&|L|R|D|R|2026||ORU^R01|1|P|2.4\rPID|1||1\rOBR|1|||A^B\rOBX|1|T" + strconv.Itoa(n) + "|C^Name||v||||||F\r"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := set.ToFHIR(m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for c := range res.Bundle.First("Observation").Children("category") {
			if c.Child("text").Text() == "Name" {
				got++
			}
		}
		if got != want {
			t.Errorf("T%d: %d categories, want %d", n, got, want)
		}
	}
}
