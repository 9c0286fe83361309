package mapping

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/mapping/issue"
	"github.com/dermgate/dermgate/mapping/maps"
)

const referenceFile = "../docs/mapping-reference.md"

// TestReferenceIsUpToDate writes docs/mapping-reference.md from the code (UPDATE=1) or holds it against the code.
func TestReferenceIsUpToDate(t *testing.T) {
	got := reference(t)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(referenceFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("UPDATE=1 go test ./mapping -run Reference writes it anew (-file +code):\n%s", diff)
	}
}

// TestReferenceKnowsEveryWord: what the code takes is what its texts are about.
func TestReferenceKnowsEveryWord(t *testing.T) {
	special := []string{"lines", "text", "file", "width", "height", "system"}
	for what, pair := range map[string][2][]string{
		"HOW into FHIR":   {append(keys(conversions), special...), namesOf(hows)},
		"HOW out of FHIR": {append(keys(backConversions), "file", "system"), namesOf(backHows)},
	} {
		slices.Sort(pair[0])
		slices.Sort(pair[1])
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s: the code takes %v, its texts are about %v", what, pair[0], pair[1])
		}
	}
	for _, names := range []map[string]variable{given, written} {
		for name, v := range names {
			if v.doc == "" {
				t.Errorf("the variable %s has no text", name)
			}
		}
	}
	for _, k := range issue.Kinds() {
		if k.Meaning() == "" {
			t.Errorf("the kind %s has no text", k)
		}
	}
	for _, f := range functions {
		if f.doc == "" {
			t.Errorf("the function %s has no text", f.name)
		}
	}
}

// page is the reference being written.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// table writes a Markdown table of two columns.
func (p *page) table(head, text string, rows []named) {
	p.line("| %s | %s |\n|---|---|", head, text)
	for _, r := range rows {
		p.line("| `%s` | %s |", strings.ReplaceAll(r.name, "|", "\\|"), strings.ReplaceAll(r.doc, "|", "\\|"))
	}
	p.line("")
}

func variables(names map[string]variable) []named {
	var out []named
	for _, name := range keys(names) {
		out = append(out, named{name, names[name].doc})
	}
	return out
}

func reference(t *testing.T) string {
	t.Helper()
	set, err := Load(maps.FS)
	if err != nil {
		t.Fatal(err)
	}
	var p page
	p.line("# The map language: reference\n\nGenerated from the code (`UPDATE=1 go test ./mapping -run Reference`); the guide is [mapping.md](mapping.md).\n")
	p.language()
	p.shipped(set)
	p.faults(t)
	return p.String()
}

// language is what the words mean.
func (p *page) language() {
	p.line("## Keys\n\nOf a map file:\n")
	p.table("key", "says", fileKeys)
	for _, k := range []struct {
		what string
		keys []named
	}{{"a rule", ruleKeys}, {"a check", checkKeys}, {"a resource", resourceKeys}, {"a segment of a message out of FHIR", segmentKeys},
		{"senders/NAME.yaml", senderKeys}, {"names.yaml", namesKeys}, {"an extension there", extensionKeys}} {
		p.line("Of %s:\n", k.what)
		p.table("key", "says", k.keys)
	}
	p.line("## HOW\n\nInto FHIR, beside `table(Name)` and a data type map such as `CX[Identifier]`:\n")
	p.table("HOW", "writes", hows)
	p.line("Out of FHIR, beside the same two:\n")
	p.table("HOW", "writes", backHows)
	p.line("## Expressions\n\nNames into FHIR, beside places:\n")
	p.table("name", "is", variables(given))
	p.line("Names out of FHIR, beside paths:\n")
	p.table("name", "is", variables(written))
	p.line("Functions:\n")
	var list []named
	for _, f := range functions {
		list = append(list, named{f.name + "(text) → " + f.celType().String(), f.doc})
	}
	p.table("function", "gives", append(list, calls...))
	p.line("## Kinds of issue\n")
	list = nil
	for _, k := range issue.Kinds() {
		list = append(list, named{string(k), k.Meaning()})
	}
	p.table("kind", "means", list)
}

// shipped is what the shipped maps have.
func (p *page) shipped(set *Set) {
	p.line("## Shipped messages\n")
	var into, out []named
	for _, m := range set.Messages() {
		var groups []string
		for _, g := range m.Groups {
			if !slices.Contains(groups, g.Type) {
				groups = append(groups, g.Type)
			}
		}
		if row := (named{m.Name, strings.Join(m.Events, ", ") + " | " + strings.Join(groups, ", ")}); len(m.Events) > 0 {
			into = append(into, row)
		} else {
			out = append(out, named{m.Name, strings.Join(groups, ", ")})
		}
	}
	p.line("| map | events | resources |\n|---|---|---|")
	for _, m := range into {
		p.line("| `%s` | %s |", m.name, m.doc)
	}
	p.line("")
	p.table("map out of FHIR", "segments", out)
	p.line("## Shipped segment and data type maps\n")
	p.line("With those of the messages %d rules, checks, ignored places, resources and segments, each run by a case of `mapping/testdata/golden`", len(set.Rules()))
	p.line("(`gateway test --coverage --shipped mapping/testdata/golden`; a test fails where one is not).\n")
	for _, name := range set.Maps() {
		if src := set.sources[name]; src.to != "" && (src.from != "Bundle" || isSegment(src.to)) {
			p.line("- `%s`", name)
		}
	}
	p.line("\n## Shipped tables\n\n| table | codes | system |\n|---|---|---|")
	for _, t := range set.Tables() {
		p.line("| `%s` | %d | %s |", t.Name, len(t.Codes), t.System)
	}
	p.line("\n## Names\n\nSystems (`$Name`, `identifier(Name)`):\n")
	var list []named
	for _, name := range keys(set.names.systems) {
		list = append(list, named{name, set.names.systems[name].s})
	}
	p.table("name", "system", list)
	p.line("Extensions (`extension(name)`):\n")
	list = nil
	for _, name := range keys(set.names.extensions) {
		x := set.names.extensions[name]
		list = append(list, named{name, x.url.s + ", " + x.value.Type.Name})
	}
	p.table("name", "url and value", list)
}

// faults are those of mapping/testdata/bad: a map that is wrong, and what is said of it.
func (p *page) faults(t *testing.T) {
	t.Helper()
	p.line("## What does not load\n\nEvery fault is told at `file:line:col`, all of them at once. Each of these is a test (`mapping/testdata/bad`):\n")
	files, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		said := strings.TrimSpace(string(a.Files[len(a.Files)-1].Data))
		p.line("%s\n\n    %s\n", strings.TrimSpace(string(a.Comment)), strings.ReplaceAll(said, "\n", "\n    "))
	}
}
