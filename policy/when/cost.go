package when

import (
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

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

// counter counts what CEL takes for one step: it does not look into lists and maps, and of values whose type
// it did not know, which all claims are, it does not count the text.
type counter struct{}

// CallCost is part of cost.ActualCostEstimator.
func (counter) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	if len(args) != 2 {
		return nil
	}
	a, b := work(args[0], 0), work(args[1], 0)
	var steps uint64
	switch function {
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		steps = 1 + min(a, b)
	case operators.Add:
		steps = 1 + a + b
	case operators.In:
		list, ok := args[1].(traits.Lister)
		if !ok {
			return nil
		}
		length, _ := list.Size().(types.Int)
		steps = 1 + uint64(length) + min(uint64(length)*a, b)
	default:
		return nil
	}
	return &steps
}

// work is the steps that going through a value takes. It stops where that is too much anyhow.
func work(v ref.Val, done uint64) uint64 {
	switch v := v.(type) {
	case *someClaims:
		return work(v.Mapper, done) // counting is not asking
	case types.String:
		return done + uint64(len(v))/10
	case types.Bytes:
		return done + uint64(len(v))/10
	case traits.Lister, traits.Mapper:
		mapper, _ := v.(traits.Mapper)
		for it := v.(traits.Iterable).Iterator(); it.HasNext() == types.True && done <= maxCost; {
			item := it.Next()
			done = work(item, done+1)
			if mapper != nil {
				done = work(mapper.Get(item), done)
			}
		}
	}
	return done
}
