// Package match matches the names of resources with patterns, and principals with the subjects
// of rules.
//
// Two packages share this code: [github.com/tidewaiter/tidewaiter/policy], which decides requests,
// and policy/ask, which answers questions about a policy. Package match has no type for a rule, so
// the two packages pass the patterns and subjects of their rules as arguments.
package match

import (
	"math/bits"

	"github.com/tidewaiter/tidewaiter/scope"
)

// TypeOf returns the resource type of a scope, a rule or a limit. If the text of the field
// Type is empty, the type is repository.
func TypeOf(written string) string {
	if written == "" {
		return scope.TypeRepository
	}
	return written
}

// OrZero returns p, or a new zero value if p is nil. A zero policy, request or principal grants
// nothing.
func OrZero[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

// Any reports whether one of the patterns matches the name. Invalid patterns match nothing.
func Any(patterns []string, name *Path, who *Who) bool {
	var buf [MaxParts]Part
	for _, text := range patterns {
		if parsed, bad := Parse(buf[:0], text); bad == nil && parsed.Match(name, who) {
			return true
		}
	}
	return false
}

// Bits yields the number of each bit that is set: 0 for pull, 1 for push.
func Bits(actions scope.Actions) func(func(int) bool) {
	return func(yield func(int) bool) {
		for rest := uint8(actions); rest != 0; rest &= rest - 1 {
			if !yield(bits.TrailingZeros8(rest)) {
				return
			}
		}
	}
}
