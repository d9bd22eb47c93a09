package ratelimit

// LookedAt returns how many accounts a budget examined to evict unknown names.
func LookedAt(b *Budget) int { return b.unknown.examined }
