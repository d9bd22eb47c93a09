package policy

import "strconv"

// Match parses a pattern and matches it with a name, without an index. Ok is false if the
// pattern is invalid.
func Match(text, name string, who *Principal) (matched, ok bool) {
	parsed, bad := parsePattern(nil, text)
	if bad != nil || checkPattern("repository", text, parsed) != nil {
		return false, false
	}
	var p path
	return p.cut(name) && parsed.match(&p, who), true
}

var ValidPart = validPart

// Relate reports whether one pattern contains another, and whether they overlap. Ok is false if
// one of them is invalid.
func Relate(outer, inner string) (contains, meets, ok bool) {
	p, bad := parsePattern(nil, outer)
	q, worse := parsePattern(nil, inner)
	if bad != nil || worse != nil {
		return false, false, false
	}
	return p.contains(q), p.overlaps(q), true
}

// Colliding returns two names whose subjects have the same hash. Of 100,000 names, two usually
// share 32 bits.
func Colliding(groups bool) (one, other string) {
	kind := user
	if groups {
		kind = group
	}
	seen := make(map[uint32]string)
	for i := 0; ; i++ {
		name := strconv.Itoa(i)
		hash := subject{kind: kind, name: name}.hash()
		if before, ok := seen[hash]; ok {
			return before, name
		}
		seen[hash] = name
	}
}
