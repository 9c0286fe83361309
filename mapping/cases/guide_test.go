package cases_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/cases"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/maps"
)

const guideFile = "../../docs/mapping.md"

var (
	block    = regexp.MustCompile("(?s)```(yaml|txtar)\n(.*?)```\n")
	fileLine = regexp.MustCompile(`^# ((?:messages|segments|datatypes|tables|senders)/\S+\.yaml|names\.yaml)\n`)
)

// TestGuide loads every map of docs/mapping.md, those of a section together over the shipped ones, and runs its cases.
// UPDATE=1 rewrites what these want.
func TestGuide(t *testing.T) {
	b, err := os.ReadFile(guideFile)
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.SplitAfter(string(b), "\n## ")
	blocks := 0
	for i, text := range sections {
		title, _, _ := strings.Cut(text, "\n")
		site, inCases := fstest.MapFS{}, [][]byte{}
		for _, m := range block.FindAllStringSubmatch(text, -1) {
			blocks++
			if m[1] == "txtar" {
				inCases = append(inCases, []byte(m[2]))
				continue
			}
			name := fileLine.FindStringSubmatch(m[2])
			if name == nil {
				t.Errorf("%s: a block of YAML that does not begin with the name of its file:\n%s", title, m[2])
				continue
			}
			site[name[1]] = &fstest.MapFile{Data: []byte(m[2])}
		}
		set, err := mapping.Load(maps.FS, site)
		if err != nil {
			t.Errorf("%s: %v", title, err)
			continue
		}
		for _, in := range inCases {
			out := guideCase(t, title, set, in)
			sections[i] = strings.Replace(sections[i], string(in), string(out), 1)
		}
	}
	if blocks < 8 {
		t.Errorf("only %d blocks are found", blocks)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(guideFile, []byte(strings.Join(sections, "")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// guideCase runs a case of the guide and gives it as it must be.
func guideCase(t *testing.T, title string, set *mapping.Set, in []byte) []byte {
	t.Helper()
	c, err := cases.Read(fstest.MapFS{"case.txtar": {Data: in}}, "case.txtar")
	if err != nil {
		t.Errorf("%s: %v", title, err)
		return in
	}
	o := options()
	o.Kind.Advice = []string{"AG"}
	o.Urgency = mapping.UrgencyRule{From: hl7.MustPath("RF1-2.1"), Routine: []string{"R"}}
	came, err := c.Run(set, o)
	if err != nil {
		t.Fatal(err)
	}
	if diff := came.Diff(); diff != "" && os.Getenv("UPDATE") == "" {
		t.Errorf("%s: %s", title, diff)
	}
	out := came.Updated()
	if bytes.Contains(out, []byte("error: ")) {
		t.Errorf("%s: the case is refused:\n%s", title, out)
	}
	return out
}
