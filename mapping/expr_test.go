package mapping

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

const sample = "MSH|^~\\&|EMIS|Y06601|DG|RXX01|20261124101500||REF^I12|1|P|2.4\r" +
	"RF1|P|R|330^Dermatology^L|WR~AM||REF1^EMIS|||||0000^UBRN~X1^HOSP\r" +
	"PRD|RP~PP|Okafor^Ngozi||||| G5612908^GMP~Y06601^ODS~99^ERS|||SURGERY^^Y06601\r" +
	"PRD|RT||||||C1234567^GMC\r" +
	"PID|1||9990001014^^^NHS^NH~1^^^&NHS~9990001014^^^CHI^NH||A^B||19680412|2||||||||||9990001014\r" +
	"OBR|1|REF1\r" +
	"OBX|1|NM|D^Diameter||7|mm^millimetre^UCUM|||||F\r" +
	"OBX|2|CE|PHOTOCONSENT||Y||||||W\r" +
	"OBX|3|TX|overview\\T\\||caf\\X65\\ \xc3\xa9\r" +
	"NTE|1||x\r"

// TestLoweredLikeCEL runs every condition of the shipped maps both as closures and in CEL itself, on every
// segment (and repetition) of a message it may meet: they must agree.
func TestLoweredLikeCEL(t *testing.T) {
	f := &faults{}
	sources, _, names, _ := readLayers([]fs.FS{maps.FS}, f)
	c := &compiler{faults: f, schema: fhir.R4(), names: names, tables: buildTables(sources, f)}
	low := newExprs(f, c.tables)
	slow := newExprs(f, c.tables)
	slow.plain = true
	m, err := hl7.Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	r := &run{tree: fhir.NewTree(), set: &Set{}}
	r.begin(m, &Options{Source: "test", Kind: KindRule{From: hl7.MustPath("RF1-4"), Referral: []string{"AM"}}})
	compared, yes := 0, 0
	for _, s := range sources {
		var conditions []text
		for _, rule := range s.rules {
			conditions = append(conditions, rule.when)
		}
		for _, k := range s.checks {
			conditions = append(conditions, k.when)
		}
		for _, g := range s.groups {
			conditions = append(conditions, g.where)
		}
		if s.from == "Bundle" || !isSegment(s.from) && !isDatatype(s.from) && s.to != "" {
			continue // out of FHIR: read in CEL or closures over the same walks
		}
		for _, cond := range conditions {
			if cond.s == "" {
				continue
			}
			a, b := low.condition(cond, c.lexicon(s)), slow.condition(cond, c.lexicon(s))
			if a == nil || b == nil {
				t.Fatalf("%s does not compile: %v", cond.s, f.list)
			}
			for _, sc := range scopesFor(r, s) {
				got, want := a.yes(sc), b.yes(sc)
				if compared++; want {
					yes++
				}
				if got {
					demands(t, cond.s, a.facts, sc)
				}
				if got != want {
					t.Errorf("%s (%s): closures say %t, CEL %t, on %s", cond.s, path.Base(s.file), got, want, sc.path)
				}
			}
		}
	}
	if compared < 500 || yes < 50 {
		t.Errorf("only %d comparisons, %d of them true", compared, yes)
	}
	if len(r.issues) > 0 {
		t.Error(r.issues)
	}
}

// demands checks that a condition's facts hold where it does.
func demands(t *testing.T, cond string, known facts, sc *scope) {
	t.Helper()
	for _, p := range known.needs {
		if !p.read(sc).Valued() {
			t.Errorf("%s holds without %s, which it is said to need", cond, p)
		}
	}
	for _, c := range known.choices {
		if text := sc.run.text(c.place.read(sc)); slices.Contains(c.words, text) == c.not {
			t.Errorf("%s holds where %s is %q", cond, c.place, text)
		}
	}
}

// scopesFor gives the places of the sample where a map's conditions may be asked.
func scopesFor(r *run, s *source) []*scope {
	var out []*scope
	for i := range r.m.Segments() {
		seg := r.m.Segment(i)
		if isSegment(s.from) && !seg.Is(s.from) {
			continue
		}
		out = append(out, &scope{run: r, seg: seg})
		for n := 1; n <= seg.Fields(); n++ {
			for rep, v := range r.field(seg, n).EachRepetition() {
				sc := &scope{run: r, seg: seg, field: n, value: v, path: seg.Path(n).Repeat(rep)}
				sc.part()
				out = append(out, sc)
			}
		}
	}
	return out
}

// TestWhatCELAloneRuns are expressions that no closure exists for.
func TestWhatCELAloneRuns(t *testing.T) {
	f := &faults{}
	c := &compiler{faults: f, schema: fhir.R4(), names: &names{}, tables: map[string]*table{}}
	x := newExprs(f, c.tables)
	m, err := hl7.Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	r := &run{tree: fhir.NewTree(), set: &Set{}}
	r.begin(m, &Options{})
	sc := &scope{run: r, seg: m.Find("PID", 1)}
	lex := c.lexicon(&source{from: "PID", to: "Patient"})
	for code, want := range map[string]bool{
		`PID-5[1].1.lowerAscii() == "a"`:                   true,
		`PID-3[*].1.exists(x, mod11(x))`:                   true,
		`PID-3[*].1.all(x, mod11(x))`:                      false,
		`PID-3[1].1.split("").size() == 10`:                true,
		`int(PID-7.substring(0, 4)) + 1 == 1969`:           true,
		`PID-8 == "2" ? PID-7.size() == 8 : PID-7 == "no"`: true,
	} {
		e := x.condition(text{s: code}, lex)
		if e == nil {
			t.Fatalf("%s: %v", code, f.list)
		}
		if got := e.yes(sc); got != want {
			t.Errorf("%s is %t", code, got)
		}
	}
	loop := "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, PID-8 != \"x\"))))"
	if e := x.condition(text{s: loop}, lex); e != nil || len(f.list) != 1 || !strings.Contains(f.list[0].Text, "may cost") {
		t.Errorf("an expensive expression compiles: %v", f.list)
	}
}

// TestAfter: so much later on the wall, across midnight, with the offset it came with; nothing of what is no time of day,
// no amount or no unit.
func TestAfter(t *testing.T) {
	for _, tt := range [][4]string{
		{"202612102350", "30", "MIN", "20261211002000"}, {"20261210093000+0100", "1.5", "h", "20261210110000+0100"},
		{"2026-12-10 09:30", "90", "sec", "20261210093130"}, {"2026121009", "1", " Day ", "20261211090000"},
		{"20261210093000-0530", "0", "M", "20261210093000-0530"}, {"20261210093000Z", "5", "min", "20261210093500+0000"},
		{"20261210", "30", "MIN", ""}, {"202612100930", "", "MIN", ""}, {"202612100930", "-5", "MIN", ""}, {"202612100930", "NaN", "MIN", ""},
		{"202612100930", "1e9", "D", ""}, {"202612100930", "30", "", ""}, {"202612100930", "1", "MO", ""}, {"soon", "1", "H", ""}, {"", "", "", ""},
	} {
		if got := after(tt[0], tt[1], tt[2]); got != tt[3] {
			t.Errorf("after(%q, %q, %q) = %q, want %q", tt[0], tt[1], tt[2], got, tt[3])
		}
	}
}

// TestPlacesKeepTheirColumns checks that a place inside quotes is no place.
func TestPlacesKeepTheirColumns(t *testing.T) {
	f := &faults{}
	c := &compiler{faults: f, schema: fhir.R4(), names: &names{}, tables: map[string]*table{}}
	x := newExprs(f, c.tables)
	lex := c.lexicon(&source{from: "PID", to: "Patient"})
	if e := x.condition(text{s: `PID-8 == "PID-99"`}, lex); e == nil || len(e.reads) != 1 {
		t.Errorf("a place in quotes was read: %v", f.list)
	}
	x.condition(text{s: `PID-8 == "F" || PID-3[1].1 == 7`, at: pos{file: "f.yaml", line: 3, col: 10}}, lex)
	if len(f.list) != 1 || f.list[0].Line != 3 || f.list[0].Col != 10+strings.Index(`PID-8 == "F" || PID-3[1].1 == 7`, "== 7") {
		t.Errorf("%v", f.list)
	}
}

// TestStandIn: the names of places in CEL are as long as the places, and each place has its own.
func TestStandIn(t *testing.T) {
	names, seen := map[string]string{}, map[string]bool{}
	places := strings.Fields("PID-3[2].1 PID-3 CX.1 id on by as at to of in is no up so PID-3")
	for _, p := range places {
		name := standIn(names, p)
		if len(name) != len(p) || seen[name] && p != "PID-3" || !identifier.MatchString(name) {
			t.Errorf("%s is %s", p, name)
		}
		seen[name] = true
	}
	if len(seen) != len(places)-1 {
		t.Errorf("%d places have %d names", len(places)-1, len(seen))
	}
}
