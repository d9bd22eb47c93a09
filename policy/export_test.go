package policy

import (
	"strconv"

	"github.com/tidewaiter/tidewaiter/policy/internal/match"
)

// Match parses a pattern and compares it with a name, without an index. If the pattern is
// invalid, ok is false.
func Match(text, name string, who *Principal) (matched, ok bool) {
	parsed, bad := match.Parse(nil, text)
	if bad != nil || checkPattern("repository", text, parsed) != nil {
		return false, false
	}
	var p match.Path
	facts := who.properties()
	return p.Cut(name) && parsed.Match(&p, &facts), true
}

// Colliding returns two names whose subjects have the same 32-bit hash. Trying about 100,000
// names is usually enough to find them.
func Colliding(groups bool) (one, other string) {
	kind := match.User
	if groups {
		kind = match.Group
	}
	seen := make(map[uint32]string)
	for i := 0; ; i++ {
		name := strconv.Itoa(i)
		hash := hashOfSubject(match.Subject{Kind: kind, Name: name})
		if before, ok := seen[hash]; ok {
			return before, name
		}
		seen[hash] = name
	}
}
