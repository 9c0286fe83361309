package mapping

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

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
	needs  *needs // of the map being compiled, nil when nobody asks
	known  map[string]checked
	plain  bool // CEL runs everything: for the test that compares
}

func newExprs(f *faults, tables map[string]*table) *exprs {
	x := &exprs{faults: f, tables: tables, known: map[string]checked{}}
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

// slips are mistakes that CEL tells in its parser's words.
var slips = map[string]string{
	"token recognition error at: '= '": "one = : want ==",
	"input 'and' expecting":            "want && for and, || for or, ! for not",
	"input 'or' expecting":             "want && for and, || for or, ! for not",
	"input 'AND' expecting":            "want && for and, || for or, ! for not",
	"input 'OR' expecting":             "want && for and, || for or, ! for not",
	"applied to '(string, int)'":       `a text beside a number: put the number in quotes, or make the text one with int(…) or size(…)`,
	"applied to '(int, string)'":       `a text beside a number: put the number in quotes, or make the text one with int(…) or size(…)`,
}

// explain names the place instead of the name the place was given.
func (x *exprs) explain(message string, reads []variable, lex lexicon) (why string, slip bool) {
	if i := strings.Index(message, "undeclared reference to '"); i >= 0 {
		word, _, _ := strings.Cut(message[i+len("undeclared reference to '"):], "'")
		known := make([]string, 0, len(lex.fixed)+len(functions))
		for name := range lex.fixed {
			known = append(known, name)
		}
		for _, f := range functions {
			known = append(known, f.name)
		}
		near := meant(word, append(known, "listed", "after"))
		if near == "" {
			near = "; a text stands in quotes: \"" + word + "\""
		}
		return "no variable or function " + word + near, false
	}
	for sign, why := range slips {
		if strings.Contains(message, sign) {
			return why, true
		}
	}
	message, _, _ = strings.Cut(message, " expecting {")
	return message, false
}

// checked is an expression as CEL has compiled it, which many rules of a set share.
type checked struct {
	env *cel.Env
	ast *cel.Ast
}

// checked lets CEL compile an expression, each once.
func (x *exprs) checked(t text, code string, reads []variable, lex lexicon) (checked, bool) {
	key := []byte(code)
	for _, v := range reads {
		key = strconv.AppendBool(append(append(key, 0), v.name...), v.list)
	}
	if c, ok := x.known[string(key)]; ok {
		return c, true
	}
	env, err := x.env.Extend(declare(reads)...)
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
	x.known[string(key)] = checked{env, ast}
	return x.known[string(key)], true
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

// rewrite gives every place a name of the same length that CEL can read (PID-3[2].1 becomes PID_3_2__1), so
// that CEL's columns are the file's, and collects what is read.
func (x *exprs) rewrite(t text, lex lexicon) (string, []variable, bool) {
	code, ok := []byte(t.s), true
	var reads []variable
	seen := map[string]bool{}
	note := func(v variable) {
		if !seen[v.name] {
			seen[v.name] = true
			reads = append(reads, v)
		}
	}
	for _, part := range outsideQuotes(t.s) {
		if lex.places == nil {
			break
		}
		for pos := part[0]; pos < part[1]; {
			m := lex.places.FindStringIndex(t.s[pos:part[1]])
			if m == nil {
				break
			}
			from, to := pos+m[0], pos+m[1]
			if to < len(t.s) && t.s[to] == '(' { // a method: PID-7.size()
				to = from + max(strings.LastIndexByte(t.s[from:to], '.'), 0)
			}
			v, why := lex.find(t.s[from:to])
			if why != "" {
				x.faults.add(t.at.plus(from), "%s", why)
				ok = false
			}
			if why != "" || v.text == nil && v.texts == nil { // no place: look on behind its first word
				for pos = from; pos < part[1] && wordByte(t.s[pos]); pos++ {
				}
				pos = max(pos, from+1)
				continue
			}
			for i := from; i < to; i++ {
				if !wordByte(code[i]) {
					code[i] = '_'
				}
			}
			v.name = string(code[from:to])
			note(v)
			pos = to
		}
	}
	for _, word := range identifier.FindAllString(blankQuotes(string(code)), -1) {
		if v, known := lex.fixed[word]; known {
			v.name = word
			note(v)
		}
	}
	return string(code), reads, ok
}

var identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// outsideQuotes gives the stretches of an expression that are not string literals.
func outsideQuotes(s string) [][2]int {
	var out [][2]int
	start, quote := 0, byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && c == quote:
			quote, start = 0, i+1
		case quote == 0 && (c == '"' || c == '\''):
			out, quote = append(out, [2]int{start, i}), c
		}
	}
	if quote == 0 {
		out = append(out, [2]int{start, len(s)})
	}
	return out
}

func blankQuotes(s string) string {
	out := []byte(strings.Repeat(" ", len(s)))
	for _, part := range outsideQuotes(s) {
		copy(out[part[0]:part[1]], s[part[0]:part[1]])
	}
	return string(out)
}
