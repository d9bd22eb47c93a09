package match

import "strings"

// Path is a name split at its slashes. It has a fixed size, so that a decision needs no
// allocation for it.
type Path struct {
	name   string
	Parts  int                  // the number of parts
	starts [MaxParts + 1]uint16 // the offset of each part, then the length of the name plus 1
}

// Cut splits a name. It returns false for a name that has an empty part, has too many parts or
// is too long. No rule matches such a name, so nothing is granted on it.
func (p *Path) Cut(name string) bool {
	p.name, p.Parts, p.starts[0] = name, 0, 0
	if len(name) > maxPattern {
		return false
	}
	begin := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		if i == begin || p.Parts == MaxParts {
			return false
		}
		begin = i + 1
		p.Parts++
		p.starts[p.Parts] = uint16(begin)
	}
	return true
}

// Part returns the i-th part.
func (p *Path) Part(i int) string { return p.name[p.starts[i] : p.starts[i+1]-1] }

// Between returns the parts with the indexes in [from, to). At least one part must be in this
// range.
func (p *Path) Between(from, to int) string { return p.name[p.starts[from] : p.starts[to]-1] }

// Follows compares value with the part of the name that begins at part i. If the parts of value
// are the next parts of the name, Follows returns their number. Otherwise, or if value is not a
// valid path, it returns 0.
func (p *Path) Follows(i int, value string) int {
	rest := p.name[p.starts[i]:]
	if !strings.HasPrefix(rest, value) || len(rest) > len(value) && rest[len(value)] != '/' || !ValidPath(value) {
		return 0
	}
	return 1 + strings.Count(value, "/")
}

// ValidPart reports whether s is one part of a repository's path in the registry's grammar:
// [a-z0-9]+ joined by ".", "_", "__" or dashes.
func ValidPart(s string) bool {
	separators := 0 // the number of separators since the last letter or digit
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			separators = 0
			continue
		case i == 0:
			return false
		case c == '-' && (separators == 0 || s[i-1] == '-'):
		case c == '_' && (separators == 0 || separators == 1 && s[i-1] == '_'):
		case c == '.' && separators == 0:
		default:
			return false
		}
		separators++
	}
	return s != "" && separators == 0
}

// ValidPath reports whether s is one or more valid parts with slashes between them.
func ValidPath(s string) bool {
	for more := true; more; {
		var part string
		part, s, more = strings.Cut(s, "/")
		if !ValidPart(part) {
			return false
		}
	}
	return true
}

// ValidHost reports whether s could be the host:port before a repository's name. It returns true
// if s has no upper-case letters, and only characters that a name can have. It checks no other
// properties, because a host is only compared as text.
func ValidHost(s string) bool {
	return strings.ContainsAny(s, ":[") && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") == ""
}
