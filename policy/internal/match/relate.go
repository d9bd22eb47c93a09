package match

import "strings"

// Contains reports whether p matches each name that the pattern inner matches. It compares the
// patterns part by part. If this comparison cannot decide, it returns false.
func (p Pattern) Contains(inner Pattern) bool {
	// now[j] is true if the parts of p that the loop has read match all texts that the first j
	// parts of inner match.
	var now [MaxParts + 1]bool
	now[0] = true
	for k, part := range p {
		var next [MaxParts + 1]bool
		for j := range inner {
			switch {
			case !now[j]:
			case part.Kind != DoubleStar:
				next[j+1] = next[j+1] || part.Contains(inner[j])
			default:
				for to := j + 1; to <= len(inner); to++ {
					next[to] = true
				}
			}
		}
		if part.Kind == DoubleStar && k < len(p)-1 { // ** also matches zero parts
			for j := range now {
				next[j] = next[j] || now[j]
			}
		}
		now = next
	}
	return now[len(inner)]
}

// Overlaps reports whether both patterns could match the same name. If it cannot decide, it
// returns true.
func (p Pattern) Overlaps(other Pattern) bool {
	// row[j] is true if the parts of p that the loop has read and the parts other[j:] could match
	// the same text.
	var row [MaxParts + 1]bool
	row[len(other)] = true
	for j := len(other) - 1; j >= 0 && other[j].canSpanParts(); j-- {
		row[j] = true
	}
	for k := len(p) - 1; k >= 0; k-- {
		var above [MaxParts + 1]bool // with part k
		above[len(other)] = p[k].canSpanParts() && row[len(other)]
		for j := len(other) - 1; j >= 0; j-- {
			if p[k].canSpanParts() || other[j].canSpanParts() {
				above[j] = row[j] || above[j+1]
			} else {
				above[j] = row[j+1] && p[k].Overlaps(other[j])
			}
		}
		row = above
	}
	return row[0]
}

// canSpanParts reports whether the part can match several parts of a name.
func (p Part) canSpanParts() bool { return p.Kind == DoubleStar || p.Kind == ClaimPlaceholder }

// Contains reports whether the part p matches all texts that the other part matches.
func (p Part) Contains(other Part) bool {
	switch {
	case other.Kind == DoubleStar:
		return false
	case p == other:
		return true
	case p.Kind == Star:
		return other.Kind != ClaimPlaceholder // a claim can be several parts
	case p.Kind == Glob && other.Kind == Literal:
		return matchGlob(p.Text, other.Text)
	}
	return false
}

// Overlaps reports whether both parts could match the same part of a name.
func (p Part) Overlaps(other Part) bool {
	switch {
	case p.Kind == Literal && other.Kind == Literal:
		return p.Text == other.Text
	case p.Kind == Glob && other.Kind == Literal:
		return matchGlob(p.Text, other.Text)
	case p.Kind == Literal && other.Kind == Glob:
		return matchGlob(other.Text, p.Text)
	case p.Kind == Glob && other.Kind == Glob:
		before, after, _ := CutGlob(p.Text)
		otherBefore, otherAfter, _ := CutGlob(other.Text)
		return (strings.HasPrefix(before, otherBefore) || strings.HasPrefix(otherBefore, before)) &&
			(strings.HasSuffix(after, otherAfter) || strings.HasSuffix(otherAfter, after))
	}
	return true
}
