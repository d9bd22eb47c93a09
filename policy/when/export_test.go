package when

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/tidewaiter/tidewaiter/policy"
)

// MaxCost is the maximum cost of an evaluation.
const MaxCost = maxCost

// Work returns the number of steps that are counted for reading a value.
func Work(v any) uint64 { return countSteps(types.DefaultTypeAdapter.NativeToValue(v), 0) }

// Costs returns the cost of an evaluation by Holds and the cost of an evaluation by Explain, in
// CEL's units. For an evaluation that stops at the limit, it returns the cost up to that point.
func Costs(of policy.Condition, r *policy.Request) (holds, explains uint64, err error) {
	c := of.(*condition)
	var costs [2]uint64
	for i, prepared := range []func() (cel.Program, error){c.counted, c.traced} {
		program, err := prepared()
		if err != nil {
			return 0, 0, err
		}
		_, details, _ := program.Eval(&request{Request: r})
		costs[i] = *details.ActualCost()
	}
	return costs[0], costs[1], nil
}

// Counts reports whether Holds counts the cost for the request. Holds does not count if the
// estimate by Compile has shown that the cost stays below the limit.
func Counts(of policy.Condition, r *policy.Request) bool {
	return of.(*condition).uncounted == nil || !isUsual(r)
}

// Kept returns the number of texts that the Compiler stores.
func (c *Compiler) Kept() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.compiled)
}
