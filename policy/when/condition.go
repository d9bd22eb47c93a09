package when

import (
	"errors"
	"fmt"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"

	"github.com/tidewaiter/tidewaiter/policy"
)

// maxCost is the most that one evaluation may cost, in CEL's units: a step is one, and so are ten characters
// of a text that is looked through. It is about a millisecond.
const maxCost = 10_000

// What a condition is taken to be asked about when its cost is estimated. A request with more is counted
// while it is evaluated.
const (
	usualGroups = 500
	usualText   = 512 // bytes of a name, a client, a registry
)

// condition is a compiled text. It never changes, and may be used from any goroutine.
type condition struct {
	text     string
	ast      *ast.AST
	constant bool

	// A condition whose cost is known to be small is evaluated without counting, which takes a third of
	// the time; nil if it is not.
	quick   cel.Program
	counted func() (cel.Program, error)
	traced  func() (cel.Program, error) // keeps the values of the parts, for Explain
}

// program makes a checked text ready to be evaluated. The error is Errors.
func (l *language) program(text string, checked *cel.Ast) (*condition, error) {
	estimate, err := l.env.EstimateCost(checked, usual{})
	if err != nil {
		return nil, tooMuch("the condition's cost cannot be estimated: %v", err)
	}
	if estimate.Min > maxCost {
		return nil, tooMuch("the condition takes too long to evaluate")
	}
	c := &condition{text: text, ast: checked.NativeRep()}
	c.constant = asksNothing(c.ast)
	c.counted = sync.OnceValues(func() (cel.Program, error) {
		return l.env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost))
	})
	c.traced = sync.OnceValues(func() (cel.Program, error) {
		return l.env.Program(checked, cel.EvalOptions(cel.OptExhaustiveEval, cel.OptTrackState), cel.CostLimit(maxCost))
	})
	if estimate.Max <= maxCost {
		c.quick, err = l.env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	} else {
		_, err = c.counted()
	}
	if err != nil {
		return nil, tooMuch("the condition cannot be evaluated: %v", err)
	}
	return c, nil
}

// tooMuch is a mistake of the text as a whole.
func tooMuch(format string, args ...any) Errors {
	return Errors{{Line: 1, Column: 1, Text: fmt.Sprintf(format, args...)}}
}

// asksNothing reports whether no part of the condition is about a request.
func asksNothing(a *ast.AST) bool {
	for _, r := range a.ReferenceMap() {
		if r.Name == "" || r.Value != nil {
			continue // a function, a constant
		}
		for _, v := range []string{varIP, varNow, varUser, varGroups, varClaims, varClient, varRegistry} {
			if r.Name == v {
				return false
			}
		}
	}
	return true
}

// Holds reports whether the condition is true of a request. An error says in words why it could not be
// evaluated.
func (c *condition) Holds(r *policy.Request) (bool, error) {
	program := c.quick
	if program == nil || !isUsual(r) {
		var err error
		if program, err = c.counted(); err != nil {
			return false, fmt.Errorf("preparing condition: %w", err)
		}
	}
	seen := requests.Get().(*request)
	seen.Request = r
	value, _, err := program.Eval(seen)
	seen.Request = nil
	requests.Put(seen)
	if err != nil {
		return false, &failure{c, err}
	}
	holds, ok := value.(types.Bool)
	if !ok {
		return false, errNoTruth
	}
	return bool(holds), nil
}

// errNoTruth cannot be: Compile looked at the type.
var errNoTruth = errors.New("the condition is neither true nor false")

// String returns the condition as it was written.
func (c *condition) String() string { return c.text }

// isUsual reports whether the request is within what costs were estimated for.
func isUsual(r *policy.Request) bool {
	p := r.Principal
	return len(r.Client) <= usualText && len(r.Registry) <= usualText &&
		(p == nil || len(p.Groups) <= usualGroups && len(p.Name) <= usualText)
}

// usual estimates what a request is at most, as isUsual has it. Of claims nothing is known: what looks
// through them is counted.
type usual struct{}

// EstimateSize is part of cost.Estimator.
func (usual) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	if path := node.Path(); len(path) == 1 {
		switch path[0] {
		case varGroups:
			return &cost.SizeEstimate{Min: 0, Max: usualGroups}
		case varUser, varClient, varRegistry:
			return &cost.SizeEstimate{Min: 0, Max: usualText}
		}
	}
	return nil
}

// EstimateCallCost is part of cost.Estimator.
func (usual) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
