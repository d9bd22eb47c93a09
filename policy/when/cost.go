package when

import (
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/tidewaiter/tidewaiter/policy"
)

// maxCost is the maximum cost of an evaluation in CEL's units. A step costs one unit, and
// searching a text costs one unit for each ten characters. An evaluation with the maximum cost
// takes about a millisecond.
const maxCost = 10_000

// These are the maximum sizes that the cost estimate assumes for a request. For larger
// requests, the cost is counted during the evaluation.
const (
	usualGroups = 500
	usualText   = 512 // bytes of a name, a client, a registry
)

// isUsual reports whether the request is within the sizes that the cost estimate assumes.
func isUsual(r *policy.Request) bool {
	p := r.Principal
	return len(r.Client) <= usualText && len(r.Registry) <= usualText &&
		(p == nil || len(p.Groups) <= usualGroups && len(p.Name) <= usualText)
}

// usualRequest estimates the sizes of a request for which isUsual is true. The sizes of claims
// are unknown, so the cost of searching claims is always counted.
type usualRequest struct{}

// EstimateSize is part of cost.Estimator.
func (usualRequest) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
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
func (usualRequest) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// counter counts the real work of operations that CEL counts as one step. Such operations read
// lists, maps, and texts whose type is unknown at compile time. The types of all claims are
// unknown at compile time.
type counter struct{}

// CallCost is part of cost.ActualCostEstimator.
func (counter) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	if len(args) != 2 {
		return nil
	}
	a, b := countSteps(args[0], 0), countSteps(args[1], 0)
	var steps uint64
	switch {
	case isComparison(function):
		steps = 1 + min(a, b)
	case function == operators.Add:
		steps = 1 + a + b
	case function == operators.In:
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

// countSteps returns done plus the number of steps to read a value. It stops counting when the sum
// exceeds the limit.
func countSteps(v ref.Val, done uint64) uint64 {
	switch v := v.(type) {
	case *partialClaims:
		return countSteps(v.Mapper, done) // counting must not mark the claims as read
	case types.String:
		return done + uint64(len(v))/10
	case types.Bytes:
		return done + uint64(len(v))/10
	case traits.Lister, traits.Mapper:
		mapper, _ := v.(traits.Mapper)
		for it := v.(traits.Iterable).Iterator(); it.HasNext() == types.True && done <= maxCost; {
			item := it.Next()
			done = countSteps(item, done+1)
			if mapper != nil {
				done = countSteps(mapper.Get(item), done)
			}
		}
	}
	return done
}
