package mapping

import (
	"errors"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/dermgate/dermgate/mapping/issue"
)

// What CEL itself runs is limited twice: an expression that would cost too much on an ordinary message does not load, and
// one that does on the message at hand is stopped there.
const (
	// costLimit bounds one evaluation, in CEL's own units: about one a step, and one for ten characters that are gone
	// over. A condition over a few fields costs under 100.
	costLimit = 10_000
	// longestText is how long the texts that one evaluation reads may be together, in bytes: going over them once would
	// reach costLimit.
	longestText = 10 * costLimit
)

// What a place of an ordinary message holds at most: characters of a text, repetitions of a list.
const (
	ordinaryText = 200
	ordinaryList = 20
)

// ordinary tells CEL how large the values of an ordinary message are.
type ordinary struct{}

// EstimateSize implements cost.Estimator.
func (ordinary) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if s := n.ComputedSize(); s != nil {
		return s
	}
	if n.Type().Kind() == types.ListKind {
		return &cost.SizeEstimate{Max: ordinaryList, Elem: &cost.SizeEstimate{Max: ordinaryText}}
	}
	return &cost.SizeEstimate{Max: ordinaryText}
}

// EstimateCallCost implements cost.Estimator: CEL knows its own functions, and ours go over their text once.
func (ordinary) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// affordable refuses an expression that costs too much on an ordinary message.
func (x *exprs) affordable(env *cel.Env, checked *cel.Ast, t text) bool {
	found, err := env.EstimateCost(checked, ordinary{})
	switch {
	case err != nil:
		x.faults.add(t.at, "%s", err)
		return false
	case found.Max > costLimit:
		x.faults.add(t.at, "this expression may cost %d steps on an ordinary message, and %d is the limit: it goes over too much, or over the same again and again",
			found.Max, costLimit)
		return false
	}
	return true
}

// interpret runs an expression in CEL itself.
func (x *exprs) interpret(env *cel.Env, checked *cel.Ast, t text, vars map[string]variable) *lowered {
	if !x.affordable(env, checked, t) {
		return nil
	}
	program, err := env.Program(checked, cel.CostLimit(costLimit), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		x.faults.add(t.at, "%s", err)
		return nil
	}
	eval := func(s *scope) ref.Val {
		read := &activation{s: s, vars: vars}
		v, _, err := program.Eval(read)
		switch {
		case read.bytes > longestText || errors.As(err, new(interpreter.EvalCancelledError)):
			s.stopped(t.at, "this expression of a map was stopped: the message is too large for it")
		case err != nil: // whose text may hold values of the message
			s.stopped(t.at, "this expression of a map could not be evaluated")
		default:
			return v
		}
		return nil
	}
	return &lowered{
		str: func(s *scope) string { v, _ := eval(s).(types.String); return string(v) },
		yes: func(s *scope) bool { v, _ := eval(s).(types.Bool); return bool(v) },
	}
}

// activation lets CEL read the names of an expression in a scope.
type activation struct {
	s     *scope
	vars  map[string]variable
	bytes int // read so far
}

// ResolveName implements cel.Activation. Beyond longestText it gives nothing more.
func (a *activation) ResolveName(name string) (any, bool) {
	v, ok := a.vars[name]
	if !ok {
		return nil, false
	}
	if !v.list {
		text := v.text(a.s)
		if a.bytes += len(text); a.bytes > longestText {
			text = ""
		}
		return text, true
	}
	texts := v.texts(a.s)
	for _, text := range texts {
		a.bytes += len(text)
	}
	if a.bytes > longestText {
		texts = nil
	}
	return texts, true
}

// Parent implements cel.Activation.
func (a *activation) Parent() cel.Activation { return nil }

// stopped notes an expression that CEL gave up, once: the message cannot be trusted to be whole.
func (s *scope) stopped(at pos, why string) {
	trouble := issue.New(issue.Internal, at.String(), why)
	var issues *issue.List
	if s.run != nil {
		issues = &s.run.issues
	} else {
		issues = &s.out.issues
	}
	if !slices.ContainsFunc(*issues, func(i *issue.Issue) bool { return i.Where == trouble.Where && i.Text == why }) {
		*issues = append(*issues, trouble)
	}
}
