package when

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/tidewaiter/tidewaiter/policy"
)

// MaxCost is the most that one evaluation may cost.
const MaxCost = maxCost

// Work is the steps that going through a value once takes.
func Work(v any) uint64 { return work(types.DefaultTypeAdapter.NativeToValue(v), 0) }

// Costs returns what one evaluation by Holds, and one by Explain, take: in CEL's units, counted to
// where they ended.
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

// Counts reports whether Holds counts what it takes for the request: where it does not, it was
// estimated before.
func Counts(of policy.Condition, r *policy.Request) bool {
	return of.(*condition).quick == nil || !isUsual(r)
}

// Kept is of how many texts something is kept.
func (c *Compiler) Kept() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.compiled)
}
