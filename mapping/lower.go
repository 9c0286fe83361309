package mapping

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// lowered is an expression as closures; the one of its type is set.
type lowered struct {
	str    func(*scope) string
	yes    func(*scope) bool
	num    func(*scope) int64
	texts  func(*scope) []string
	lit    *string                   // of a string literal
	place  *place                    // of a place in a message
	words  []string                  // of a list of literals
	any    func(*scope, string) bool // of a list of places: whether one has the text
	joined []*lowered                // of texts joined: the texts
	facts                            // of a condition
}

// lowerer turns a checked CEL expression into closures. It gives nil for what it does not know, and CEL
// runs that: a test compares both on every expression of the shipped maps.
type lowerer struct {
	vars  map[string]variable
	exprs *exprs
	at    pos
}

func (l *lowerer) lower(e ast.Expr) *lowered {
	switch e.Kind() {
	case ast.LiteralKind:
		return literal(e)
	case ast.IdentKind:
		v, ok := l.vars[e.AsIdent()]
		if !ok {
			return nil
		}
		return &lowered{str: v.text, texts: v.texts, place: v.place, any: v.any}
	case ast.ListKind:
		return l.list(e.AsList())
	case ast.CallKind:
		return l.call(e.AsCall())
	}
	return nil
}

func literal(e ast.Expr) *lowered {
	switch v := e.AsLiteral().(type) {
	case types.String:
		s := string(v)
		return &lowered{str: func(*scope) string { return s }, lit: &s}
	case types.Bool:
		return &lowered{yes: func(*scope) bool { return bool(v) }}
	case types.Int:
		return &lowered{num: func(*scope) int64 { return int64(v) }}
	}
	return nil
}

// list of string literals.
func (l *lowerer) list(e ast.ListExpr) *lowered {
	words := make([]string, 0, e.Size())
	for _, item := range e.Elements() {
		x := l.lower(item)
		if x == nil || x.lit == nil {
			return nil
		}
		words = append(words, *x.lit)
	}
	return &lowered{texts: func(*scope) []string { return words }, words: words}
}

func (l *lowerer) call(c ast.CallExpr) *lowered {
	operands := c.Args()
	if c.IsMemberFunction() {
		operands = append([]ast.Expr{c.Target()}, operands...)
	}
	args := make([]*lowered, len(operands))
	for i, a := range operands {
		if args[i] = l.lower(a); args[i] == nil {
			return nil
		}
	}
	switch c.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
		return logic(c.FunctionName(), args)
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return compare(c.FunctionName(), args)
	case operators.In:
		if p, words := args[0].place, args[1].words; p != nil && words != nil {
			return &lowered{facts: isOneOf(p, words...), yes: func(s *scope) bool {
				value := p.read(s)
				for _, w := range words { // no closure: this runs for every OBX
					if s.run.is(value, w) {
						return true
					}
				}
				return false
			}}
		}
		if lit, any := args[0].lit, args[1].any; lit != nil && any != nil {
			return &lowered{yes: func(s *scope) bool { return any(s, *lit) }}
		}
		if x, list := args[0].str, args[1].texts; x != nil && list != nil {
			return &lowered{yes: func(s *scope) bool { return slices.Contains(list(s), x(s)) }}
		}
		return nil
	case operators.Add:
		if a, b := args[0].str, args[1].str; a != nil && b != nil {
			return &lowered{str: func(s *scope) string { return a(s) + b(s) }, joined: append(args[0].summands(), args[1].summands()...)}
		}
		return nil
	case "listed":
		return l.listed(args)
	}
	return l.named(c.FunctionName(), args)
}

func logic(op string, args []*lowered) *lowered {
	a := args[0].yes
	if a == nil {
		return nil
	}
	switch op {
	case operators.LogicalNot:
		return &lowered{facts: args[0].not(), yes: func(s *scope) bool { return !a(s) }}
	case operators.Conditional:
		if x, y := args[1].str, args[2].str; x != nil && y != nil {
			return &lowered{str: func(s *scope) string {
				if a(s) {
					return x(s)
				}
				return y(s)
			}}
		}
		return nil
	}
	b := args[1].yes
	if b == nil {
		return nil
	}
	if op == operators.LogicalAnd {
		return &lowered{facts: args[0].and(args[1]), yes: func(s *scope) bool { return a(s) && b(s) }}
	}
	return &lowered{facts: args[0].or(args[1]), yes: func(s *scope) bool { return a(s) || b(s) }}
}

// summands are the texts that an expression joins, itself when it joins none.
func (l *lowered) summands() []*lowered {
	if l.joined != nil {
		return slices.Clone(l.joined)
	}
	return []*lowered{l}
}

// anyText compiles a comparison of joined texts with "": whether one of them has anything, without joining them.
func anyText(list []*lowered, want bool) *lowered {
	return &lowered{yes: func(s *scope) bool {
		for _, l := range list {
			if l.place != nil && l.place.read(s).Valued() || l.place == nil && l.str(s) != "" {
				return want
			}
		}
		return !want
	}}
}

func compare(op string, args []*lowered) *lowered {
	if list, lit := args[0].joined, args[1].lit; list != nil && lit != nil && *lit == "" {
		switch op {
		case operators.Equals, operators.NotEquals:
			return anyText(list, op == operators.NotEquals)
		}
	}
	if p, lit := args[0].place, args[1].lit; p != nil && lit != nil && (op == operators.Equals || op == operators.NotEquals) {
		want, text, known := op == operators.Equals, *lit, isOneOf(p, *lit)
		if !want {
			known = known.not()
		}
		return &lowered{facts: known, yes: func(s *scope) bool { return s.run.is(p.read(s), text) == want }}
	}
	if a, b := args[0].str, args[1].str; a != nil && b != nil {
		switch op {
		case operators.Equals:
			return &lowered{yes: func(s *scope) bool { return a(s) == b(s) }}
		case operators.NotEquals:
			return &lowered{yes: func(s *scope) bool { return a(s) != b(s) }}
		}
		test := order[string](op)
		return &lowered{yes: func(s *scope) bool { return test(a(s), b(s)) }}
	}
	a, b := args[0].num, args[1].num
	if a == nil || b == nil {
		return nil
	}
	test := order[int64](op)
	return &lowered{yes: func(s *scope) bool { return test(a(s), b(s)) }}
}

// order gives a comparison; texts stand in the order of their bytes, as in CEL.
func order[T cmp.Ordered](op string) func(a, b T) bool {
	return map[string]func(a, b T) bool{
		operators.Equals: func(a, b T) bool { return a == b }, operators.NotEquals: func(a, b T) bool { return a != b },
		operators.Less: func(a, b T) bool { return a < b }, operators.LessEquals: func(a, b T) bool { return a <= b },
		operators.Greater: func(a, b T) bool { return a > b }, operators.GreaterEquals: func(a, b T) bool { return a >= b },
	}[op]
}

// listed compiles listed("Table", code).
func (l *lowerer) listed(args []*lowered) *lowered {
	name, code := args[0].lit, args[1].str
	if name == nil || code == nil {
		l.exprs.faults.add(l.at, "listed() takes the table's name as a literal")
		return nil
	}
	t, ok := l.exprs.tables[*name]
	if !ok {
		l.exprs.faults.add(l.at, "no table %s%s", *name, meant(*name, keys(l.exprs.tables)))
		return &lowered{yes: func(*scope) bool { return false }}
	}
	t.used = true
	l.exprs.needs.note("table " + *name)
	if p := args[1].place; p != nil {
		return &lowered{facts: valued(p), yes: func(s *scope) bool {
			if raw, plain := s.run.plain(p.read(s)); plain {
				return t.has(raw)
			}
			_, ok := t.lookup(code(s))
			return ok
		}}
	}
	return &lowered{yes: func(s *scope) bool { _, ok := t.lookup(code(s)); return ok }}
}

// named compiles our own functions and the string methods that maps use.
func (l *lowerer) named(name string, args []*lowered) *lowered {
	if list := args[0].texts; name == "size" && list != nil {
		return &lowered{num: func(s *scope) int64 { return int64(len(list(s))) }}
	}
	a := args[0].str
	if a == nil {
		return nil
	}
	if name == "size" {
		return &lowered{num: func(s *scope) int64 { return int64(utf8.RuneCountInString(a(s))) }}
	}
	if len(args) == 2 && args[1].lit != nil {
		p, b := args[0].place, *args[1].lit
		known := needing(p, func(text string) bool { return b == text })
		switch name {
		case "startsWith":
			return &lowered{facts: known, yes: func(s *scope) bool { return strings.HasPrefix(a(s), b) }}
		case "endsWith":
			return &lowered{facts: known, yes: func(s *scope) bool { return strings.HasSuffix(a(s), b) }}
		case "contains":
			return &lowered{facts: known, yes: func(s *scope) bool { return strings.Contains(a(s), b) }}
		case "matches":
			re, err := regexp.Compile(b)
			if err != nil {
				l.exprs.faults.add(l.at, "not a regular expression (RE2)")
				return nil
			}
			known := needing(p, re.MatchString)
			if p != nil {
				return &lowered{facts: known, yes: func(s *scope) bool {
					if raw, plain := s.run.plain(p.read(s)); plain {
						return re.Match(raw)
					}
					return re.MatchString(a(s))
				}}
			}
			return &lowered{yes: func(s *scope) bool { return re.MatchString(a(s)) }}
		}
		return nil
	}
	for _, f := range functions {
		if f.name == name && f.test != nil {
			return &lowered{facts: needing(args[0].place, f.test), yes: func(s *scope) bool { return f.test(a(s)) }}
		}
		if f.name == name && f.text != nil {
			return &lowered{str: func(s *scope) string { return f.text(a(s)) }}
		}
	}
	return nil
}
