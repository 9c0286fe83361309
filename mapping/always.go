package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// always tells a condition that gives the same whatever the message says, such as PID-8 == "F" && PID-8 == "M", and
// what it gives. It tries every text that the condition tells apart in each place; what it does not look into (a
// function, a comparison of numbers) counts as free, so that a condition is never called constant that is not.
func always(e ast.Expr) (value, constant bool) {
	t := &trial{mentions: map[string]int{}, literals: map[string]bool{"": true}}
	t.gather(e)
	if !t.worthwhile() {
		return false, false
	}
	first, n := false, 0
	constant = t.each(func() bool {
		got := t.eval(e)
		if n++; n == 1 {
			first = got
		}
		return got == first
	})
	return first, constant
}

// mostTrials bounds the combinations that are tried for one condition.
const mostTrials = 4096

// trial gives every place of a condition every text that makes a difference.
type trial struct {
	texts    []string // places that are compared with texts
	atoms    []string // what is true or false for itself
	literals map[string]bool
	seen     []string // all of them, as often as they are mentioned
	mentions map[string]int
	fixed    bool // something in it is a literal

	text map[string]string
	atom map[string]bool
}

// worthwhile tells a condition that could be constant: none in which each thing stands once, and none too large.
func (t *trial) worthwhile() bool {
	twice := t.fixed
	for _, n := range t.mentions {
		twice = twice || n > 1
	}
	combinations := 1
	for range t.texts {
		combinations *= len(t.literals) + len(t.texts)
		if combinations > mostTrials {
			return false
		}
	}
	return twice && len(t.atoms) < 12 && combinations<<len(t.atoms) <= mostTrials
}

// gather finds what the condition looks at.
func (t *trial) gather(e ast.Expr) {
	switch args, kind := parts(e); kind {
	case connective:
		for _, a := range args {
			t.gather(a)
		}
	case comparison:
		if !comparable(e) {
			t.mention(&t.atoms, key(e))
			return
		}
		places := len(t.seen)
		for _, a := range args {
			t.operand(a)
		}
		t.fixed = t.fixed || len(t.seen) == places // a comparison of literals
	case truth:
		t.fixed = true
	default:
		t.mention(&t.atoms, key(e))
	}
}

func (t *trial) mention(list *[]string, name string) {
	t.seen = append(t.seen, name)
	if t.mentions[name]++; t.mentions[name] == 1 {
		*list = append(*list, name)
	}
}

// operand finds the places and literals of a comparison's side.
func (t *trial) operand(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		t.mention(&t.texts, e.AsIdent())
	case ast.LiteralKind:
		t.literals[string(e.AsLiteral().(types.String))] = true
	case ast.ListKind:
		for _, x := range e.AsList().Elements() {
			t.operand(x)
		}
	case ast.CallKind: // a sum
		for _, x := range e.AsCall().Args() {
			t.operand(x)
		}
	}
}

// each runs try with every combination until it says stop; true when it never did.
func (t *trial) each(try func() bool) bool {
	candidates := keys(t.literals)
	for i := range t.texts { // one that is none of the literals, of each place its own
		candidates = append(candidates, "\x00"+strconv.Itoa(i))
	}
	t.text, t.atom = map[string]string{}, map[string]bool{}
	var from func(i int) bool
	from = func(i int) bool {
		switch {
		case i < len(t.texts):
			for _, c := range candidates {
				if t.text[t.texts[i]] = c; !from(i + 1) {
					return false
				}
			}
			return true
		case i < len(t.texts)+len(t.atoms):
			for _, b := range []bool{false, true} {
				if t.atom[t.atoms[i-len(t.texts)]] = b; !from(i + 1) {
					return false
				}
			}
			return true
		}
		return try()
	}
	return from(0)
}

// eval gives the condition's value in the current combination.
func (t *trial) eval(e ast.Expr) bool {
	args, kind := parts(e)
	switch kind {
	case truth:
		return bool(e.AsLiteral().(types.Bool))
	case connective:
		switch e.AsCall().FunctionName() {
		case operators.LogicalAnd:
			return t.eval(args[0]) && t.eval(args[1])
		case operators.LogicalOr:
			return t.eval(args[0]) || t.eval(args[1])
		}
		return !t.eval(args[0])
	case comparison:
		if !comparable(e) {
			break
		}
		switch e.AsCall().FunctionName() {
		case operators.Equals:
			return t.of(args[0]) == t.of(args[1])
		case operators.NotEquals:
			return t.of(args[0]) != t.of(args[1])
		}
		x := t.of(args[0])
		return slices.ContainsFunc(args[1].AsList().Elements(), func(w ast.Expr) bool { return t.of(w) == x })
	}
	return t.atom[key(e)]
}

// of gives the text of a side of a comparison.
func (t *trial) of(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return t.text[e.AsIdent()]
	case ast.LiteralKind:
		return string(e.AsLiteral().(types.String))
	}
	args := e.AsCall().Args()
	return t.of(args[0]) + t.of(args[1])
}

// partKind is what a part of a condition is.
type partKind uint8

const (
	opaque     partKind = iota
	truth               // true or false
	connective          // &&, || or ! of conditions
	comparison          // ==, != or in
)

func parts(e ast.Expr) ([]ast.Expr, partKind) {
	switch e.Kind() {
	case ast.LiteralKind:
		if _, ok := e.AsLiteral().(types.Bool); ok {
			return nil, truth
		}
	case ast.CallKind:
		switch c := e.AsCall(); c.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
			return c.Args(), connective
		case operators.Equals, operators.NotEquals, operators.In:
			return c.Args(), comparison
		}
	}
	return nil, opaque
}

// comparable tells a comparison of places and texts. A sum of places may be held against "" only: which texts make up
// another is not tried.
func comparable(e ast.Expr) bool {
	args := e.AsCall().Args()
	if e.AsCall().FunctionName() == operators.In {
		if args[1].Kind() != ast.ListKind {
			return false
		}
		for _, w := range args[1].AsList().Elements() {
			if !isText(w) || w.Kind() != ast.LiteralKind {
				return false
			}
		}
		return isText(args[0])
	}
	for i, a := range args {
		if sum(a) {
			other := args[1-i]
			return other.Kind() == ast.LiteralKind && other.AsLiteral() == types.String("")
		}
	}
	return isText(args[0]) && isText(args[1])
}

func isText(e ast.Expr) bool {
	if e.Kind() == ast.LiteralKind {
		_, ok := e.AsLiteral().(types.String)
		return ok
	}
	return e.Kind() == ast.IdentKind
}

// sum tells texts put together.
func sum(e ast.Expr) bool {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != operators.Add {
		return false
	}
	for _, a := range e.AsCall().Args() {
		if !isText(a) && !sum(a) {
			return false
		}
	}
	return true
}

// key tells parts of a condition apart that are not looked into.
func key(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.LiteralKind:
		return fmt.Sprintf("%T %v", e.AsLiteral(), e.AsLiteral())
	case ast.ListKind:
		return "[" + keysOf(e.AsList().Elements()) + "]"
	case ast.CallKind:
		c := e.AsCall()
		args := c.Args()
		if c.IsMemberFunction() {
			args = append([]ast.Expr{c.Target()}, args...)
		}
		return c.FunctionName() + "(" + keysOf(args) + ")"
	}
	return "#" + strconv.FormatInt(e.ID(), 10) // a comprehension: like no other
}

func keysOf(list []ast.Expr) string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = key(e)
	}
	return strings.Join(out, ", ")
}
