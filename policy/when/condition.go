package when

import (
	"errors"
	"fmt"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/tidewaiter/tidewaiter/policy"
)

// condition is a compiled text. It never changes, and may be used from any goroutine.
type condition struct {
	text     string
	ast      *ast.AST
	constant bool

	// A condition whose cost is known to be small is evaluated without counting, which takes a
	// third of the time; nil if it is not.
	quick   cel.Program
	counted func() (cel.Program, error)
	traced  func() (cel.Program, error) // keeps the values of the parts, for Explain
}

// program makes a checked text ready to be evaluated. names are the comparisons with names in it.
// The error is Errors.
func (l *language) program(text string, checked *cel.Ast, names comparedNames) (*condition, error) {
	estimate, err := l.env.EstimateCost(checked, usual{})
	if err != nil {
		return nil, tooMuch("the condition's cost cannot be estimated: %v", err)
	}
	if estimate.Min > maxCost {
		return nil, tooMuch("the condition takes too long to evaluate")
	}
	c := &condition{text: text, ast: checked.NativeRep()}
	c.constant = asksNothing(c.ast)
	compared := strict(c.ast, names)
	c.counted = sync.OnceValues(func() (cel.Program, error) {
		return l.env.Program(checked, compared, cel.EvalOptions(cel.OptOptimize), cel.CostTracking(counter{}), cel.CostLimit(maxCost))
	})
	c.traced = sync.OnceValues(func() (cel.Program, error) {
		return l.env.Program(checked, compared, cel.EvalOptions(cel.OptExhaustiveEval, cel.OptTrackState), cel.CostTracking(counter{}), cel.CostLimit(maxCost))
	})
	if estimate.Max <= maxCost {
		c.quick, err = l.env.Program(checked, compared, cel.EvalOptions(cel.OptOptimize))
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

// Holds reports whether the condition is true of a request. An error says in words why it could
// not be evaluated.
func (c *condition) Holds(r *policy.Request) (bool, error) {
	if r == nil {
		r = new(policy.Request) // of which nothing is known
	}
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
	seen.Request, seen.list.Lister = nil, nil
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

// MarshalText is String: a rule in JSON has its condition as it was written.
func (c *condition) MarshalText() ([]byte, error) { return []byte(c.text), nil }
