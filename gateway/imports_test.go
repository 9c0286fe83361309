package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dermgate/dermgate/gateway/observe"
)

const module = "github.com/dermgate/dermgate"

// layers, lowest first: a package may import what stands in a lower layer, never beside or above it
// (docs/decisions and the architecture, "Import direction"). "*" stands for any one folder.
var layers = [][]string{
	{"mapping/issue", "fixtures/photos", "fixtures/corpus"}, // made-up photos serve tests everywhere and the demo
	{"mapping/image/jpeg", "mapping/image/dicom"},
	{"mapping/hl7", "mapping/fhir", "mapping/image", "mapping/maps"},
	{"mapping/lift", "mapping/itk3"},
	{"mapping"},
	{"mapping/cases", "mapping/starter"},
	{"gateway/pathway"},
	{"gateway/letter"},
	{"gateway/flow"},
	{"adapters/*", "gateway/api", "gateway/config", "gateway/observe", "gateway/console", "gateway/photoworker"},
	{"adapters/adaptertest", "adapters/sim"}, // the suites and the stand-ins know adapters
	{"fixtures"},
	{"gateway", "fixtures/interop/*", "fixtures/contract"}, // programs
}

// layer gives the layer of a package's folder, -1 for a folder nobody planned. An exact name goes before "*".
func layer(folder string) int {
	found := -1
	for i, names := range layers {
		for _, name := range names {
			if name == folder {
				return i
			}
			if ok, err := path.Match(name, folder); ok && err == nil {
				found = i
			}
		}
	}
	return found
}

// above are what tests may use though it stands above the package they test: the suites, the stand-ins,
// the conversations, the cases of maps, and the embedded store, so that flow is tested on a real one.
var above = []string{"mapping/cases", "adapters/adaptertest", "adapters/sim", "adapters/bolt", "fixtures"}

// proofs are what the hazards' tests use besides: they exercise the controls themselves, wherever those are.
var proofs = map[string][]string{"gateway/pathway": {"gateway/flow", "adapters/ers", "mapping/maps"}}

// allowed tells whether a file of one folder may import the package in another.
func allowed(from, to string, test bool) bool {
	below := layer(from) >= 0 && layer(to) >= 0 && layer(to) < layer(from)
	switch {
	case !test:
		return below && to != "adapters/adaptertest"
	case from == to: // an external test imports its own package
		return true
	case layer(from) == layer(to):
		return false
	}
	return below || slices.Contains(proofs[from], to) || layer(from) >= layer("mapping") && slices.Contains(above, to)
}

// impure are what nothing under mapping may touch, with everything below it; net/url would be text only,
// and is not needed either.
var impure = []string{"os", "net", "log", "syscall", "math/rand", "crypto/rand", "unsafe"}

// clock are the functions of package time that read the clock.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// source is a parsed Go file of the module.
type source struct {
	name string // from the module's root
	file *ast.File
	set  *token.FileSet
}

func (s source) test() bool     { return strings.HasSuffix(s.name, "_test.go") }
func (s source) folder() string { return path.Dir(s.name) }

func (s source) at(n ast.Node) string {
	return s.name + ":" + strconv.Itoa(s.set.Position(n.Pos()).Line)
}

// faults gives everything about a file that the rules of the house forbid.
func (s source) faults() []string {
	var out []string
	pure := strings.HasPrefix(s.folder()+"/", "mapping/") && !s.test()
	clockName := ""
	for _, spec := range s.file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return append(out, s.at(spec)+": unreadable import")
		}
		if imported == "time" {
			clockName = "time"
			if spec.Name != nil {
				clockName = spec.Name.Name
			}
		}
		if pure && slices.ContainsFunc(impure, func(p string) bool { return imported == p || strings.HasPrefix(imported, p+"/") }) {
			out = append(out, s.at(spec)+": mapping is pure and imports "+imported)
		}
		to, ours := strings.CutPrefix(imported, module+"/")
		if ours && !allowed(s.folder(), to, s.test()) {
			out = append(out, s.at(spec)+": "+s.folder()+" must not import "+to)
		}
	}
	if pure && clockName != "" {
		out = append(out, s.clock(clockName)...)
	}
	return out
}

// clock finds uses of the clock, called or handed on as a function.
func (s source) clock(name string) []string {
	var out []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(clock, sel.Sel.Name) {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == name {
				out = append(out, s.at(n)+": mapping is pure and reads the clock: time."+sel.Sel.Name)
			}
		}
		return true
	})
	return out
}

// logKeys gives the attribute keys of a file's log calls that observe would withhold, each with its place.
func (s source) logKeys(listed []string) []string {
	var out []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		first, level := map[string]int{"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "Log": 3, "With": 0}[lastName(sel)]
		if !ok || !level || !slices.Contains([]string{"log", "Log", "logger", "slog"}, receiver(sel)) {
			return true
		}
		for i := first; i < len(call.Args); i += 2 {
			key, ok := call.Args[i].(*ast.BasicLit)
			if !ok || key.Kind != token.STRING {
				continue
			}
			if text, err := strconv.Unquote(key.Value); err != nil || !slices.Contains(listed, text) {
				out = append(out, s.at(key)+": the log withholds what it has under "+key.Value+": list it in observe.Keys or use another")
			}
		}
		return true
	})
	return out
}

// lastName gives Info of a.log.Info, "" of nothing.
func lastName(sel *ast.SelectorExpr) string {
	if sel == nil {
		return ""
	}
	return sel.Sel.Name
}

// receiver gives the log of log.Info, a.log.Info and s.log().Info.
func receiver(sel *ast.SelectorExpr) string {
	x := sel.X
	if call, ok := x.(*ast.CallExpr); ok {
		x = call.Fun
	}
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return x.Sel.Name
	}
	return ""
}

// parse reads a file of the module, or text in its place.
func parse(t *testing.T, name string, text any) source {
	t.Helper()
	set := token.NewFileSet()
	file := name
	if text == nil {
		file = filepath.Join("..", filepath.FromSlash(name))
	}
	f, err := parser.ParseFile(set, file, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return source{name, f, set}
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(file, ".."+string(filepath.Separator)))
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		s := parse(t, name, nil)
		seen[s.folder()] = true
		if layer(s.folder()) < 0 {
			t.Errorf("%s: a folder without a place among the layers", name)
		}
		for _, fault := range s.faults() {
			t.Error(fault)
		}
		if !s.test() {
			for _, fault := range s.logKeys(observe.Keys()) {
				t.Error(fault)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"gateway", "gateway/flow", "mapping/hl7", "mapping/issue"} {
		if !seen[folder] {
			t.Errorf("%s was not looked at", folder)
		}
	}
}

func TestLogKeysAreFound(t *testing.T) {
	for body, faults := range map[string]int{
		`a.log.Info("x", "source", 1, "patient", 2)`: 1, `s.log().Warn("x", "pid", 1)`: 1, `slog.Error("x", "error", 1)`: 0,
		`logger.Log(ctx, level, "x", "nhs", 1)`: 1, `log.With("body", 1)`: 1, `fmt.Log("x", "nhs", 1)`: 0, `log.Info("x")`: 0,
	} {
		if got := parse(t, "gateway/a.go", "package p; func f() { "+body+" }").logKeys([]string{"source", "error"}); len(got) != faults {
			t.Errorf("%s: %v", body, got)
		}
	}
}

// TestDependenciesAreRecorded: every module that go.mod requires directly has its line, with need and
// licence, in the record of dependencies, and no other has.
func TestDependenciesAreRecorded(t *testing.T) {
	record, err := os.ReadFile("../docs/decisions/0005-dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(record, -1) {
		recorded[string(m[1])] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllSubmatch(mod, -1) { // indirect ones have a comment
		if !recorded[string(m[1])] {
			t.Errorf("%s is required and not recorded", m[1])
		}
		delete(recorded, string(m[1]))
	}
	for module := range recorded {
		t.Errorf("%s is recorded and not required", module)
	}
}

// TestRulesOfTheHouse proves that the test above can fail.
func TestRulesOfTheHouse(t *testing.T) {
	for _, c := range []struct {
		name, body string
		faults     int
	}{
		{"mapping/hl7/a.go", `import "github.com/dermgate/dermgate/mapping/issue"`, 0},
		{"mapping/hl7/a.go", `import "github.com/dermgate/dermgate/mapping/fhir"`, 1},
		{"mapping/hl7/a.go", `import "github.com/dermgate/dermgate/mapping"`, 1},
		{"mapping/a.go", `import "github.com/dermgate/dermgate/gateway/flow"`, 1},
		{"mapping/a.go", `import "os/exec"`, 1},
		{"mapping/a_test.go", `import "os"`, 0},
		{"mapping/a.go", `import ("net/http"; "log/slog"; "math/rand/v2")`, 3},
		{"mapping/a.go", `import "time"; var now = time.Now`, 1},
		{"mapping/a.go", `import clock "time"; func f() any { return clock.Since(clock.Time{}) }`, 1},
		{"mapping/a.go", `import "time"; var x time.Time; var y = time.UTC`, 0},
		{"gateway/flow/a.go", `import "time"; var now = time.Now`, 0},
		{"gateway/flow/a.go", `import "github.com/dermgate/dermgate/adapters/bolt"`, 1},
		{"gateway/flow/a_test.go", `import "github.com/dermgate/dermgate/adapters/bolt"`, 0},
		{"gateway/flow/a_test.go", `import "github.com/dermgate/dermgate/adapters/mllp"`, 1},
		{"adapters/mllp/a_test.go", `import "github.com/dermgate/dermgate/adapters/bolt"`, 1},
		{"adapters/mllp/a.go", `import "github.com/dermgate/dermgate/adapters/blob"`, 1},
		{"adapters/mllp/a.go", `import "github.com/dermgate/dermgate/adapters/sim"`, 1},
		{"adapters/mllp/a_test.go", `import "github.com/dermgate/dermgate/adapters/sim"`, 0},
		{"adapters/mllp/a_test.go", `import "github.com/dermgate/dermgate/adapters/adaptertest"`, 0},
		{"gateway/a_test.go", `import "github.com/dermgate/dermgate/adapters/adaptertest"`, 0},
		{"gateway/a.go", `import "github.com/dermgate/dermgate/adapters/adaptertest"`, 1},
		{"mapping/hl7/a_test.go", `import "github.com/dermgate/dermgate/adapters/sim"`, 1},
		{"adapters/sim/a.go", `import "github.com/dermgate/dermgate/adapters/mllp"`, 0},
		{"adapters/mllp/a.go", `import "github.com/dermgate/dermgate/gateway/config"`, 1},
		{"gateway/api/a.go", `import "github.com/dermgate/dermgate/gateway/observe"`, 1},
		{"gateway/a.go", `import "github.com/dermgate/dermgate/gateway/observe"`, 0},
		{"gateway/observe/a.go", `import "github.com/dermgate/dermgate/gateway"`, 1},
	} {
		if got := parse(t, c.name, "package p; "+c.body).faults(); len(got) != c.faults {
			t.Errorf("%s with %s: %d faults, want %d: %v", c.name, c.body, len(got), c.faults, got)
		}
	}
}
