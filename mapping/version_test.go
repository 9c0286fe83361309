package mapping_test

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/dermgate/dermgate/mapping"
	"github.com/dermgate/dermgate/mapping/fhir"
	"github.com/dermgate/dermgate/mapping/hl7"
	"github.com/dermgate/dermgate/mapping/issue"
)

// forms are the messages that are written, of each structure and map.
var forms = []string{"REF_I12", "RRI_I12", "RRI_I13", "RRI_I14", "ORU_R01", "MDM_T02", "MDM_T10", "MDM_T02-Photo", "ADT_A28", "ADT_A31"}

// bundles are those of the shipped cases that are requests or answers, with their files.
func bundles(t *testing.T) map[string]*mapping.Result {
	t.Helper()
	files, err := filepath.Glob("testdata/golden/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	out := map[string]*mapping.Result{}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if in := part(a, "in.hl7"); in != nil {
			if res, err := shippedSet(t).ToFHIR(message(t, string(in)), options(t)); err == nil && res.Bundle.First("ServiceRequest").OK() {
				out[filepath.Base(file)] = res
			}
			continue
		}
		root, issues := fhir.Read(filled(t, string(part(a, "in.json"))), fhir.ReadOptions{})
		if issues.Worst() != nil {
			t.Fatal(file, issues)
		}
		out[filepath.Base(file)] = &mapping.Result{Bundle: &fhir.Bundle{Root: root}}
	}
	return out
}

// TestNothingOutsideItsVersion: in every version, whatever is written is a place that the version has, but for the fields
// that its map sends early, and none of those where a destination wants none; what an older version leaves out of the newest
// is told or stands elsewhere in its segment.
func TestNothingOutsideItsVersion(t *testing.T) {
	t.Parallel()
	early := []string{"PRD-10", "PRD-11", "PRD-13", "DG1-20", "DG1-21", "OBX-20", "OBX-21", "OBX-32"}
	seen := 0
	for name, res := range bundles(t) {
		for _, form := range forms {
			o := outOptions(t, form, res.Files)
			o.Version = "2.8"
			newest, _, err := written(t, res, o)
			if err != nil {
				continue // a form that this Bundle has no file for
			}
			for _, o.Version = range hl7.Versions {
				for _, o.Strict = range []bool{false, true} {
					m, issues, err := written(t, res, o)
					if err != nil {
						t.Fatalf("%s as %s in %s: %v", name, form, o.Version, err)
					}
					v, _ := hl7.VersionOf(o.Version)
					for p := range m.Leaves() {
						why := v.Lacks(p.Segment(), p.Field(), max(p.Repetition(), 1), p.Component(), p.Subcomponent())
						field := p.Segment() + "-" + strconv.Itoa(p.Field())
						words := p.Component() == 9 && why == "no such component" // of a code: CE.9, where CE.2 and CE.5 are taken
						if why != "" && (o.Strict || !words && !slices.Contains(early, field)) {
							t.Errorf("%s as %s in %s: %s is written: %s", name, form, o.Version, p, why)
						}
						seen++
					}
					accounted(t, name+" as "+form+" in "+o.Version, newest, m, issues)
				}
			}
		}
	}
	t.Logf("%d leaves", seen)
}

// accounted wants each value of the newest version in the same segment of an older one, or its place among the issues.
func accounted(t *testing.T, what string, newest, m *hl7.Message, issues issue.List) {
	t.Helper()
	if newest.Segments() != m.Segments() { // one of which nothing was left is told by its fields
		for _, s := range newest.All() {
			told := slices.ContainsFunc(issues, func(i *issue.Issue) bool { return i.Where == s.Name() || strings.HasPrefix(i.Where, s.Name()+"-") })
			if newest.Count(s.Name()) != m.Count(s.Name()) && !told {
				t.Errorf("%s: %d %s, %d in the newest version", what, m.Count(s.Name()), s.Name(), newest.Count(s.Name()))
			}
		}
		return
	}
	there := make([]map[string]bool, m.Segments())
	for i, s := range m.All() {
		there[i] = map[string]bool{}
		for _, f := range s.All() {
			for _, v := range leavesOf(f) {
				there[i][v] = true
			}
		}
	}
	for i, s := range newest.All() { // but for what the gateway says by itself
		for n, f := range s.All() {
			field := s.Name() + "-" + strconv.Itoa(n)
			told := slices.ContainsFunc(issues, func(i *issue.Issue) bool { return i.Where == field || strings.HasPrefix(i.Where, field+".") })
			for _, v := range leavesOf(f) {
				if s.Name() != "MSH" && s.Name() != "EVN" && v != "Referral to dermatology" && field != "OBX-2" && !there[i][v] && !told {
					t.Errorf("%s: a value of %s is neither there nor told", what, field)
				}
			}
		}
	}
}

// leavesOf gives the texts in a field.
func leavesOf(f hl7.Value) (out []string) {
	for _, r := range f.EachRepetition() {
		for _, c := range r.EachComponent() {
			for _, s := range c.EachSubcomponent() {
				if s.Valued() {
					out = append(out, s.Text())
				}
			}
		}
	}
	return out
}

// written gives a Bundle as a message, and what could not be carried.
func written(t *testing.T, res *mapping.Result, o mapping.Out) (*hl7.Message, issue.List, error) {
	t.Helper()
	w, issues, err := shippedSet(t).ToHL7(res.Bundle, o)
	if err != nil {
		return nil, issues, err
	}
	b, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	m, err := hl7.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return m, issues, nil
}
