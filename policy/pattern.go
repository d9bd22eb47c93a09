package policy

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Limits of patterns, and of the names that they match. A repository's name has at most 255 bytes.
const (
	maxPattern = 512 // bytes
	maxParts   = 63  // path parts: a set of positions in a name fits in one word
	maxWide    = 8   // parts that may match several, ** and ${claims.x}
)

// pattern is a parsed pattern: one entry for each path part.
//
// A principal's name or claim never becomes part of a pattern. A placeholder stays a
// placeholder, and its value is compared with the name as text. A user called "*" matches
// nothing.
type pattern []part

type part struct {
	kind partKind
	text string // as written, for a literal and a glob; the claim's name, for a claim
}

type partKind uint8

const (
	literal          partKind = iota // team
	glob                             // app-*: at least one * beside other text
	star                             // *: any one part
	doubleStar                       // **: any number of parts, at the end at least one
	userPlaceholder                  // ${user}
	claimPlaceholder                 // ${claims.x}
	groupPlaceholder                 // ${group}
)

// String returns the part as it is written.
func (p part) String() string {
	switch p.kind {
	case star:
		return "*"
	case doubleStar:
		return "**"
	case userPlaceholder:
		return "${user}"
	case claimPlaceholder:
		return "${claims." + p.text + "}"
	case groupPlaceholder:
		return "${group}"
	}
	return p.text
}

// syntaxError describes an error in a piece of text, and a likely correction.
type syntaxError struct{ text, suggestion string }

// parsePattern appends the parts of text to into, which saves an allocation if it has a buffer.
func parsePattern(into pattern, text string) (pattern, *syntaxError) {
	switch {
	case text == "":
		return into, &syntaxError{text: "the pattern is empty; for everything write **", suggestion: ""}
	case len(text) > maxPattern:
		return into, &syntaxError{text: fmt.Sprintf("the pattern %.40q… has %d bytes, the limit is %d", text, len(text), maxPattern)}
	}
	first, wide := len(into), 0
	for rest, more := text, true; more; {
		var p part
		var bad *syntaxError
		p, rest, more, bad = nextPart(text, rest)
		if bad != nil {
			return into, bad
		}
		if p.kind == doubleStar && len(into) > first && into[len(into)-1].kind == doubleStar {
			return into, &syntaxError{fmt.Sprintf("the pattern %q has ** twice in a row", text), collapse(text, "**/**", "**")}
		}
		if len(into)-first == maxParts {
			return into, &syntaxError{text: fmt.Sprintf("the pattern %.40q… has more than %d path parts", text, maxParts)}
		}
		if p.kind == doubleStar || p.kind == claimPlaceholder {
			wide++
		}
		if wide > maxWide {
			return into, &syntaxError{text: fmt.Sprintf("the pattern %.40q… has more than %d parts that are ** or ${claims.NAME}", text, maxWide)}
		}
		into = append(into, p)
	}
	return into, nil
}

// nextPart parses the first part of rest, which is the rest of text. More reports whether a
// slash followed.
func nextPart(text, rest string) (p part, after string, more bool, bad *syntaxError) {
	if !strings.HasPrefix(rest, "${") {
		word, after, more := strings.Cut(rest, "/")
		p, bad := wordPart(text, word)
		return p, after, more, bad
	}
	inside, after, closed := strings.Cut(rest[2:], "}")
	if !closed {
		word, tail, _ := strings.Cut(rest, "/")
		return p, "", false, &syntaxError{
			fmt.Sprintf("the pattern %q has a ${ without a }", text),
			strings.TrimSuffix(text, rest) + strings.TrimSuffix(word+"}/"+tail, "/"),
		}
	}
	if after != "" && after[0] != '/' {
		return p, "", false, &syntaxError{text: fmt.Sprintf("in the pattern %q, ${%s} must be a whole path part", text, inside)}
	}
	name, isClaim := strings.CutPrefix(inside, "claims.")
	switch {
	case inside == "user":
		p = part{kind: userPlaceholder}
	case inside == "group":
		p = part{kind: groupPlaceholder}
	case isClaim && name != "":
		p = part{claimPlaceholder, name}
	default:
		bad := &syntaxError{text: fmt.Sprintf("the pattern %q has the unknown placeholder ${%s}; there are ${user}, ${group} and ${claims.NAME}", text, inside)}
		if meant := nearestPlaceholder(inside); meant != "" {
			bad.suggestion = strings.Replace(text, "${"+inside+"}", "${"+meant+"}", 1)
		}
		return p, "", false, bad
	}
	if after == "" {
		return p, "", false, nil
	}
	return p, after[1:], true, nil
}

// wordPart parses a part that does not begin with a placeholder.
func wordPart(text, word string) (part, *syntaxError) {
	switch {
	case word == "":
		what := "has an empty path part"
		if strings.HasPrefix(text, "/") {
			what = "begins with a slash"
		} else if strings.HasSuffix(text, "/") {
			what = "ends with a slash"
		}
		return part{}, &syntaxError{fmt.Sprintf("the pattern %q %s", text, what), withoutEmptyParts(text)}
	case word == "*":
		return part{kind: star}, nil
	case word == "**":
		return part{kind: doubleStar}, nil
	case strings.IndexByte(word, '*') < 0 && strings.IndexByte(word, '$') < 0:
		return part{literal, word}, nil
	case strings.Contains(word, "${"):
		return part{}, &syntaxError{text: fmt.Sprintf("in the pattern %q, the placeholder in %q must be a whole path part", text, word)}
	case strings.Contains(word, "**"):
		meant := collapse(word, "**", "*")
		if meant == "*" {
			meant = "**"
		}
		return part{}, &syntaxError{fmt.Sprintf("the pattern %q has %q: ** is a path part of its own, and * stays inside one", text, word), strings.Replace(text, word, meant, 1)}
	case strings.Contains(word, "*"):
		return part{glob, word}, nil
	}
	return part{literal, word}, nil
}

func withoutEmptyParts(text string) string {
	return strings.Trim(collapse(text, "//", "/"), "/")
}

// collapse replaces from by to until text does not contain from.
func collapse(text, from, to string) string {
	for strings.Contains(text, from) {
		text = strings.ReplaceAll(text, from, to)
	}
	return text
}

func nearestPlaceholder(inside string) string {
	if name, ok := strings.CutPrefix(inside, "claim."); ok && name != "" {
		return "claims." + name
	}
	switch strings.ToLower(inside) {
	case "account", "username", "name", "login":
		return "user"
	case "groups", "team", "teams":
		return "group"
	}
	return text.Nearest(inside, []string{"user", "group"})
}

// match reports whether the pattern matches the whole name. It reads the pattern once and keeps
// the set of reachable positions in the name, without backtracking. So the worst pattern of n
// parts on the worst name of m parts takes n times m comparisons.
func (p pattern) match(name *path, who *Principal) bool {
	reached := uint64(1) // bit i: the parts so far match the first i parts of the name
	end := uint64(1) << name.parts
	for k, part := range p {
		var next uint64
		if part.kind == doubleStar {
			next = -(reached & -reached) & (end<<1 - 1) // all positions from the first one on
			if k == len(p)-1 {
				next &= next - 1
			}
		} else {
			for rest := reached &^ end; rest != 0; rest &= rest - 1 {
				next |= part.matchAt(name, bits.TrailingZeros64(rest), who)
			}
		}
		if next == 0 {
			return false
		}
		reached = next
	}
	return reached&end != 0
}

// matchAt returns the set of positions that the part can reach from position i, which is not the
// end of the name.
func (p part) matchAt(name *path, i int, who *Principal) (positions uint64) {
	switch p.kind {
	case star:
		return 1 << (i + 1)
	case literal:
		if name.part(i) == p.text {
			return 1 << (i + 1)
		}
	case glob:
		if matchGlob(p.text, name.part(i)) {
			return 1 << (i + 1)
		}
	case userPlaceholder:
		if user, ok := who.userValue(); ok && name.part(i) == user {
			return 1 << (i + 1)
		}
	case groupPlaceholder:
		if who.memberOf(name.part(i)) {
			return 1 << (i + 1)
		}
	case claimPlaceholder:
		for value := range who.claim(p.text) {
			if n := name.follows(i, value); n > 0 {
				positions |= 1 << (i + n)
			}
		}
	}
	return positions
}

// matchGlob reports whether part matches a glob, which has at least one * and no **. It compares
// the text before the first * and after the last, and searches the texts between from left to
// right. The first match of each is enough. So each byte is read a bounded number of times.
func matchGlob(glob, part string) bool {
	before, after, middle := cutGlob(glob)
	if len(part) < len(before)+len(after) || !strings.HasPrefix(part, before) || !strings.HasSuffix(part, after) {
		return false
	}
	return findAll(middle, part[len(before):len(part)-len(after)])
}

// cutGlob returns the text before the first * of a glob, after the last, and between the two.
func cutGlob(glob string) (before, after, middle string) {
	first, last := strings.IndexByte(glob, '*'), strings.LastIndexByte(glob, '*')
	if first < last {
		middle = glob[first+1 : last]
	}
	return glob[:first], glob[last+1:], middle
}

// findAll reports whether text contains the pieces, which are separated by *, in their order.
func findAll(pieces, text string) bool {
	for pieces != "" {
		var piece string
		piece, pieces, _ = strings.Cut(pieces, "*")
		at := strings.Index(text, piece)
		if at < 0 {
			return false
		}
		text = text[at+len(piece):]
	}
	return true
}
