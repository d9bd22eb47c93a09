package when

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/tidewaiter/tidewaiter/policy"
)

// condition is a compiled condition. It never changes and may be used from any goroutine.
type condition struct {
	text     string
	ast      *ast.AST
	constant bool

	// uncounted evaluates the condition without counting the cost. This takes a third of the time
	// of an evaluation that counts the cost. The field is nil if the cost of an evaluation could
	// exceed the limit.
	uncounted cel.Program
	counted   func() (cel.Program, error)
	// also records the values of the condition's parts, for Explain
	traced func() (cel.Program, error)
}

// newCondition prepares a checked condition for evaluation. The parameter names has the
// comparisons with names of users or groups. An error has the type Errors.
func (l *language) newCondition(text string, checked *cel.Ast, names comparedNames) (*condition, error) {
	estimate, err := l.env.EstimateCost(checked, usualRequest{})
	if err != nil {
		return nil, textError("the condition's cost cannot be estimated: %v", err)
	}
	if estimate.Min > maxCost {
		return nil, textError("the condition takes too long to evaluate")
	}
	c := &condition{text: text, ast: checked.NativeRep()}
	c.constant = isConstant(c.ast)
	compared := strictComparisons(c.ast, names)
	c.counted = sync.OnceValues(func() (cel.Program, error) {
		return l.env.Program(checked, compared, cel.EvalOptions(cel.OptOptimize), cel.CostTracking(counter{}), cel.CostLimit(maxCost))
	})
	c.traced = sync.OnceValues(func() (cel.Program, error) {
		return l.env.Program(checked, compared, cel.EvalOptions(cel.OptExhaustiveEval, cel.OptTrackState), cel.CostTracking(counter{}), cel.CostLimit(maxCost))
	})
	if estimate.Max <= maxCost {
		c.uncounted, err = l.env.Program(checked, compared, cel.EvalOptions(cel.OptOptimize))
	} else {
		_, err = c.counted()
	}
	if err != nil {
		return nil, textError("the condition cannot be evaluated: %v", err)
	}
	return c, nil
}

// textError returns an error that is about the whole condition and not about a place in it.
func textError(format string, args ...any) Errors {
	return Errors{{Line: 1, Column: 1, Text: fmt.Sprintf(format, args...)}}
}

// isConstant reports whether no part of the condition reads the request.
func isConstant(a *ast.AST) bool {
	for _, r := range a.ReferenceMap() {
		if r.Name == "" || r.Value != nil {
			continue // a function or a constant
		}
		if slices.Contains([]string{varIP, varNow, varUser, varGroups, varClaims, varClient, varRegistry}, r.Name) {
			return false
		}
	}
	return true
}

// Holds reports whether the condition is true for a request. An error means that the condition
// cannot be evaluated.
func (c *condition) Holds(r *policy.Request) (bool, error) {
	if r == nil {
		r = new(policy.Request) // a request in which everything is unknown
	}
	program := c.uncounted
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
		return false, errNotBool
	}
	return bool(holds), nil
}

// errNotBool never occurs, because Compile checks the type.
var errNotBool = errors.New("the condition is neither true nor false")

// String returns the source text of the condition.
func (c *condition) String() string { return c.text }

// MarshalText returns the same text as String, because in JSON a rule contains the source text
// of its condition.
func (c *condition) MarshalText() ([]byte, error) { return []byte(c.text), nil }
