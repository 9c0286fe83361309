package mapping

import (
	"regexp"
	"slices"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/dermgate/dermgate/mapping/hl7"
)

// expr is a compiled CEL expression. What the maps mostly write (comparisons, and/or/not, membership, our
// own functions) is lowered to Go closures; anything else runs in CEL under costLimit.
type expr struct {
	yes    func(*scope) bool   // of a condition
	str    func(*scope) string // of a text expression
	marks  []*place            // the single places among reads
	others []func(*scope)      // of reads that are none, to count what they stand for as carried over
	facts
	reads    []variable // what it looks at
	constant bool       // the same for every message
}

// reading tells whether an expression looks at a name.
func (e *expr) reading(name string) bool {
	return e != nil && slices.ContainsFunc(e.reads, func(v variable) bool { return v.name == name })
}

// carried counts the single places an expression looked at as carried over: what it gave, or what it let a
// rule write, stands for them. Lists over a whole message are not: most of it decided nothing.
func (e *expr) carried(s *scope) {
	for _, p := range e.marks {
		p.mark(s)
	}
	for _, mark := range e.others {
		mark(s)
	}
}

// marking finds what carried counts.
func (e *expr) marking() {
	for i := range e.reads {
		switch v := &e.reads[i]; {
		case v.list:
		case v.place != nil:
			e.marks = append(e.marks, v.place)
		case v.mark != nil:
			e.others = append(e.others, v.mark)
		}
	}
}

// places names where the expression's values stood, as far as they are valued.
func (e *expr) places(s *scope) []string {
	var out []string
	for _, v := range e.reads {
		if v.at == nil {
			continue
		}
		if at := v.at(s); at.Field() > 0 {
			out = append(out, at.String())
		}
	}
	return out
}

// variable is a name an expression may use: a text, or a list of texts.
type variable struct {
	name  string
	doc   string // of a name that every expression may use
	list  bool
	text  func(*scope) string
	place *place // a single place: compared without making a text
	texts func(*scope) []string
	any   func(*scope, string) bool // of a list: whether one of its texts is this
	mark  func(*scope)              // notes what is read as carried over; nil when it is a place, or nothing
	at    func(*scope) hl7.Path     // where it stands; nil when there is no place
}

// lexicon gives the names an expression may use where it stands.
type lexicon struct {
	places *regexp.Regexp                             // what looks like a place, such as PID-3.1; nil: none
	find   func(word string) (v variable, why string) // a place; why tells what is wrong with it, "" when it is no place at all
	fixed  map[string]variable
}

// exprs compiles the expressions of one map set.
type exprs struct {
	env    *cel.Env
	faults *faults
	tables map[string]*table
	needs  *needs              // of the map being compiled, nil when nobody asks
	envs   map[string]*cel.Env // by signature
	known  map[string]checked
	plain  bool // CEL runs everything: for the test that compares
}

func newExprs(f *faults, tables map[string]*table) *exprs {
	x := &exprs{faults: f, tables: tables, envs: map[string]*cel.Env{}, known: map[string]checked{}}
	options := []cel.EnvOption{ext.Strings(ext.StringsVersion(5))}
	for _, fn := range functions {
		options = append(options, cel.Function(fn.name, cel.Overload(fn.name+"_string", []*cel.Type{cel.StringType}, fn.celType(),
			cel.UnaryBinding(fn.bind))))
	}
	options = append(options,
		cel.Function("listed", cel.Overload("listed_string_string", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(name, code ref.Val) ref.Val {
				t := x.tables[string(name.(types.String))]
				_, ok := t.lookup(string(code.(types.String)))
				return types.Bool(ok)
			}))),
		cel.Function("after", cel.Overload("after_string_string_string", []*cel.Type{cel.StringType, cel.StringType, cel.StringType}, cel.StringType,
			cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				return types.String(after(string(args[0].(types.String)), string(args[1].(types.String)), string(args[2].(types.String))))
			}))))
	env, err := cel.NewEnv(options...)
	if err != nil {
		panic("mapping: CEL environment: " + err.Error()) // cannot happen: the options are fixed
	}
	x.env = env
	return x
}

// condition compiles an expression that must give a bool; nil when there is none or it is at fault.
func (x *exprs) condition(t text, lex lexicon) *expr {
	return x.compile(t, cel.BoolType, lex)
}

// value compiles an expression that must give a string.
func (x *exprs) value(t text, lex lexicon) *expr {
	return x.compile(t, cel.StringType, lex)
}

func (x *exprs) compile(t text, want *cel.Type, lex lexicon) *expr {
	if t.s == "" {
		return nil
	}
	code, reads, ok := x.rewrite(t, lex)
	if !ok {
		return nil
	}
	done, ok := x.checked(t, code, reads, lex)
	if !ok {
		return nil
	}
	env, checked := done.env, done.ast
	if got := checked.OutputType(); !got.IsExactType(want) {
		hint := ""
		if want == cel.BoolType && got == cel.StringType {
			hint = `: compare it, as in PID-8 != ""`
		}
		x.faults.add(t.at, "this expression gives %s, want %s%s", got, want, hint)
		return nil
	}
	e := &expr{reads: reads}
	byName := map[string]variable{}
	for _, v := range reads {
		byName[v.name] = v
	}
	l := lowerer{vars: byName, exprs: x, at: t.at}
	var low *lowered
	if !x.plain {
		low = l.lower(checked.NativeRep().Expr())
	}
	if low == nil {
		low = x.interpret(env, checked, t, byName)
	}
	if low == nil {
		return nil
	}
	if want == cel.BoolType {
		value, constant := always(checked.NativeRep().Expr())
		if len(reads) == 0 {
			value, constant = low.yes(&scope{run: &run{}}), true
		}
		if constant {
			x.faults.add(t.at, "this condition is %s", map[bool]string{true: "always true: it can go", false: "never true"}[value])
			return nil
		}
	}
	e.str, e.yes, e.facts, e.constant = low.str, low.yes, low.facts, len(reads) == 0
	e.marking()
	return e
}

// checked is an expression as CEL has compiled it, which many rules of a set share.
type checked struct {
	env *cel.Env
	ast *cel.Ast
}

// checked lets CEL compile an expression, each once.
func (x *exprs) checked(t text, code string, reads []variable, lex lexicon) (checked, bool) {
	key := code + signature(reads)
	if c, ok := x.known[key]; ok {
		return c, true
	}
	env, err := x.knowing(reads)
	if err != nil {
		x.faults.add(t.at, "%s", err)
		return checked{}, false
	}
	ast, issues := env.Compile(code)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			at := t.at
			if e.Location.Line() == 1 {
				at = at.plus(e.Location.Column())
			}
			why, slip := x.explain(e.Message, reads, lex)
			x.faults.add(at, "%s", why)
			if slip { // the rest of what the parser says follows from it
				break
			}
		}
		return checked{}, false
	}
	x.known[key] = checked{env, ast}
	return x.known[key], true
}

// knowing gives the environment with these variables, each once.
func (x *exprs) knowing(vars []variable) (*cel.Env, error) {
	key := signature(vars)
	if env, ok := x.envs[key]; ok {
		return env, nil
	}
	env, err := x.env.Extend(declare(vars)...)
	if err == nil {
		x.envs[key] = env
	}
	return env, err
}

// signature tells the names and types of variables from others.
func signature(vars []variable) string {
	var b []byte
	for _, v := range vars {
		b = strconv.AppendBool(append(append(b, 0), v.name...), v.list)
	}
	return string(b)
}

func declare(vars []variable) []cel.EnvOption {
	out := make([]cel.EnvOption, len(vars))
	for i, v := range vars {
		typ := cel.StringType
		if v.list {
			typ = cel.ListType(cel.StringType)
		}
		out[i] = cel.Variable(v.name, typ)
	}
	return out
}
