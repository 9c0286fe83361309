package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The gateway relays what people decide and decides nothing (INV1). These tests read its source: what must not be called is
// named nowhere, and what only a person's authenticated act may bring about is reached from there alone.

// never are the operations of e-RS that nothing here may call: they create a referral out of advice (A027), create and send
// in one (A021), or change what a referrer chose (A031, A032).
var never = map[string]string{
	"A021": "$ers.createReferralAndSendForTriage", "A027": "$ers.createFromCommunicationRequestActionLater",
	"A031": "$ers.changeShortlist", "A032": "$ers.changeShortlistAndSendForTriage",
}

// relayed are those that create, answer, decide or end: each is the relay of somebody's act.
var relayed = map[string]string{
	"A011": "$ers.createReferral", "A026": "$ers.sendCommunicationToRequester", "A028": "$ers.recordReviewOutcome",
	"A036": "$ers.cancelReferral", "A044": "$ers.createAdviceAndGuidance",
}

// product gives the Go files that are built into the program, but for the stand-ins, which answer these calls.
func product(t *testing.T) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.go", "*/*.go", "../adapters/*/*.go", "../mapping/*.go", "../mapping/*/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return slices.DeleteFunc(files, func(f string) bool {
		return strings.HasSuffix(f, "_test.go") || strings.HasPrefix(f, "../adapters/sim/") || strings.HasPrefix(f, "../adapters/adaptertest/")
	})
}

// stringsOf gives the string literals of a file.
func stringsOf(t *testing.T, name string) (out []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			out = append(out, strings.Trim(l.Value, "\"`"))
		}
		return true
	})
	return out
}

// nameIn tells whether a text calls an operation: its name, not as the beginning of a longer one.
func nameIn(text, operation string) bool {
	_, rest, found := strings.Cut(text, operation)
	return found && (rest == "" || !isLetter(rest[0])) || found && nameIn(rest, operation)
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

func TestNoCodeCreatesAReferralOutOfAdviceOrChangesAChoice(t *testing.T) {
	seen := 0
	for _, file := range product(t) {
		for _, text := range stringsOf(t, file) {
			seen++
			for number, operation := range never {
				if nameIn(text, operation) || text == number {
					t.Errorf("%s names %s (%s)", file, number, operation)
				}
			}
			for number, operation := range relayed {
				if nameIn(text, operation) && !strings.HasPrefix(file, "../adapters/ers/") {
					t.Errorf("%s calls %s beside the adapter of e-RS", file, number)
				}
			}
			if strings.Contains(text, "PROVIDER_CONVERTED") && strings.Contains(text, "guidanceOutcome") {
				t.Errorf("%s sends PROVIDER_CONVERTED", file)
			}
		}
	}
	if seen < 5000 {
		t.Fatalf("only %d texts were read", seen)
	}
}

// callers is who mentions whom in a package: by method and function, as the type checker resolves them. What the package
// imports is left open, since nothing outside it can be asked for by these names.
type callers struct {
	by    map[types.Object]map[types.Object]bool // whom → who
	decls map[types.Object]*ast.FuncDecl
}

type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, filepath.Base(path))
	p.MarkComplete()
	return p, nil
}

func callersIn(t *testing.T, dir string) callers {
	t.Helper()
	set := token.NewFileSet()
	paths, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, p, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: nothing{}, Error: func(error) {}}
	_, _ = conf.Check(dir, set, files, info) // what it imports is not there: that is no fault here
	c := callers{map[types.Object]map[types.Object]bool{}, map[types.Object]*ast.FuncDecl{}}
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			who := info.Defs[fn.Name]
			c.decls[who] = fn
			ast.Inspect(fn, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					if whom, ok := info.Uses[id].(*types.Func); ok {
						if c.by[whom] == nil {
							c.by[whom] = map[types.Object]bool{}
						}
						c.by[whom][who] = true
					}
				}
				return true
			})
		}
	}
	return c
}

// from gives the exported functions from which any of these is reached.
func (c callers) from(start func(*ast.FuncDecl) bool) (roots []string, reached int) {
	seen := map[types.Object]bool{}
	var todo []types.Object
	for o, d := range c.decls {
		if start(d) {
			todo, seen[o] = append(todo, o), true
		}
	}
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		if next.Exported() {
			roots = append(roots, methodName(next))
		}
		for who := range c.by[next] {
			if !seen[who] {
				seen[who] = true
				todo = append(todo, who)
			}
		}
	}
	slices.Sort(roots)
	return roots, len(seen)
}

// methodName names a function with its receiver.
func methodName(o types.Object) string {
	if s, ok := o.Type().(*types.Signature); ok && s.Recv() != nil {
		of := s.Recv().Type()
		if p, ok := of.(*types.Pointer); ok {
			of = p.Elem()
		}
		if n, ok := of.(*types.Named); ok {
			return n.Obj().Name() + "." + o.Name()
		}
	}
	return o.Name()
}

// naming tells whether a function holds a string in which an operation is named.
func naming(d *ast.FuncDecl, operation string) (found bool) {
	ast.Inspect(d, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && nameIn(strings.Trim(l.Value, "\"`"), operation) {
			found = true
		}
		return true
	})
	return found
}

func TestWhatOnlyAPersonDoesIsReachedFromARelayAlone(t *testing.T) {
	ers := callersIn(t, "../adapters/ers")
	for number, operation := range relayed {
		roots, reached := ers.from(func(d *ast.FuncDecl) bool { return naming(d, operation) })
		if reached > 0 && !slices.Equal(roots, []string{"Destination.Deliver"}) {
			t.Errorf("%s is reached from %v, not from a delivery alone", number, roots)
		}
		if reached < 3 {
			t.Errorf("%s: only %d functions lead to it: the test has lost its way", number, reached)
		}
	}
	flow := callersIn(t, "flow")
	roots, reached := flow.from(func(d *ast.FuncDecl) bool { return d.Name.Name == "sendRequest" })
	want := []string{
		"Fitter.Deliver",           // the photos of an acknowledged request have been made to fit
		"Pipeline.Accept",          // a request came from its authenticated sender
		"Pipeline.Release",         // its requester let it go
		"Pipeline.ReleaseSignedIn", // the same, as a user who has signed in
	}
	if !slices.Equal(roots, want) {
		t.Errorf("a request is sent from %v (%d functions), want %v", roots, reached, want)
	}
}

// Every act of a person passes flow.Relayed.Check, which refuses a conversion, before it is kept and again before it is sent; and
// the only way to it is the admin listener's, which knows the person.
func TestAnActIsKeptAndSentOnlyAfterItsCheck(t *testing.T) {
	ers, flow, api := callersIn(t, "../adapters/ers"), callersIn(t, "flow"), callersIn(t, "api")
	for _, c := range []struct {
		of         callers
		whom       string // method
		who, check []string
	}{
		{ers, "act.send", []string{"act.carry"}, nil},
		{ers, "act.carry", []string{"attempt.relay"}, []string{"attempt.relay"}},
		{ers, "attempt.relay", []string{"attempt.run"}, nil},
		{flow, "decision.relay", []string{"Pipeline.Relay"}, []string{"Pipeline.Relay"}},
		{flow, "Pipeline.Relay", nil, nil},
		{api, "Relayer.Relay", []string{"Admin.relay"}, nil},
		{api, "Admin.relay", []string{"Admin.engine"}, nil},
	} {
		found := false
		for whom := range c.of.by {
			found = found || methodName(whom) == c.whom
			if methodName(whom) == c.whom {
				var who []string
				for w := range c.of.by[whom] {
					who = append(who, methodName(w))
				}
				if slices.Sort(who); !slices.Equal(who, c.who) {
					t.Errorf("%s is called by %v, want %v", c.whom, who, c.who)
				}
			}
		}
		if !found && c.who != nil {
			t.Errorf("%s is called by nobody: the test has lost its way", c.whom)
		}
		for _, checks := range c.check {
			for o, d := range c.of.decls {
				if methodName(o) == checks && !invokes(d, "Check") {
					t.Errorf("%s does not check the act", checks)
				}
			}
		}
	}
	for _, file := range product(t) { // no other package hands one in
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && invokes(fn, "Relay") && file != "api/relays.go" {
				t.Errorf("%s relays an act in %s", file, fn.Name.Name)
			}
		}
	}
}

// invokes tells whether a function calls a method of a name.
func invokes(d *ast.FuncDecl, method string) (found bool) {
	ast.Inspect(d, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			if s, ok := c.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == method {
				found = true
			}
		}
		return true
	})
	return found
}
