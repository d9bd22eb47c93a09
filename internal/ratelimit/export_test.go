package ratelimit

// LookedAt returns how many accounts a budget has looked at to make room for names that nobody has.
func LookedAt(b *Budget) int { return b.unknown.examined }
