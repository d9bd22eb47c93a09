package policy

// Match parses a pattern and holds it against a name by itself, without an index. Ok is false if the
// pattern has a mistake in it.
func Match(text, name string, who *Principal) (matched, ok bool) {
	parsed, bad := parsePattern(nil, text)
	if bad != nil || checkPattern("repository", text, parsed) != nil {
		return false, false
	}
	var p path
	return p.cut(name) && parsed.match(&p, who), true
}

var LegalPart = legalPart
