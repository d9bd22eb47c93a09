package match

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Limits of patterns, and of the names that they match. A repository's name has at most 255 bytes.
const (
	maxPattern = 512 // bytes
	MaxParts   = 63  // path parts: a set of positions in a name fits in one word
	maxWide    = 8   // parts that can match several parts of a name: ** and ${claims.x}
)

// Pattern is a parsed pattern: one entry for each path part.
//
// A principal's name or claim is never inserted into a pattern. The value of a placeholder is
// compared with the name as text. So for a user called "*", ${user} matches nothing.
type Pattern []Part

// Part is one path part of a pattern.
type Part struct {
	Kind PartKind
	Text string // the text of a literal or glob, or the name of a claim; "" for other kinds
}

// PartKind is the kind of a part.
type PartKind uint8

// The kinds of parts.
const (
	Literal          PartKind = iota // team
	Glob                             // app-*: at least one *, and other text
	Star                             // *: any one part
	DoubleStar                       // **: any number of parts; at the end, one or more
	UserPlaceholder                  // ${user}
	ClaimPlaceholder                 // ${claims.x}
	GroupPlaceholder                 // ${group}
)

// IsPlaceholder reports whether the part is a placeholder. The text that a placeholder matches
// depends on the principal.
func (p Part) IsPlaceholder() bool {
	return p.Kind == UserPlaceholder || p.Kind == GroupPlaceholder || p.Kind == ClaimPlaceholder
}

// String returns the text of the part in the pattern.
func (p Part) String() string {
	switch p.Kind {
	case Star:
		return "*"
	case DoubleStar:
		return "**"
	case UserPlaceholder:
		return "${user}"
	case ClaimPlaceholder:
		return "${claims." + p.Text + "}"
	case GroupPlaceholder:
		return "${group}"
	}
	return p.Text
}

// SyntaxError describes an error in a piece of text, and a likely correction.
type SyntaxError struct{ Text, Suggestion string }

// Errorf returns an error without a suggestion.
func Errorf(format string, args ...any) *SyntaxError {
	return &SyntaxError{Text: fmt.Sprintf(format, args...)}
}

// Suggest sets the suggestion, and returns the error.
func (e *SyntaxError) Suggest(suggestion string) *SyntaxError {
	e.Suggestion = suggestion
	return e
}

// Parse appends the parts of text to the given pattern. It allocates nothing if that pattern
// has enough capacity.
func Parse(into Pattern, text string) (Pattern, *SyntaxError) {
	switch {
	case text == "":
		return into, Errorf("the pattern is empty; for everything write **")
	case len(text) > maxPattern:
		return into, Errorf("the pattern %.40q… has %d bytes, the limit is %d", text, len(text), maxPattern)
	}
	first, wide := len(into), 0
	for rest, more := text, true; more; {
		var p Part
		var bad *SyntaxError
		p, rest, more, bad = nextPart(text, rest)
		if bad != nil {
			return into, bad
		}
		if p.Kind == DoubleStar && len(into) > first && into[len(into)-1].Kind == DoubleStar {
			return into, Errorf("the pattern %q has ** twice in a row", text).Suggest(collapse(text, "**/**", "**"))
		}
		if len(into)-first == MaxParts {
			return into, Errorf("the pattern %.40q… has more than %d path parts", text, MaxParts)
		}
		if p.Kind == DoubleStar || p.Kind == ClaimPlaceholder {
			wide++
		}
		if wide > maxWide {
			return into, Errorf("the pattern %.40q… has more than %d parts that are ** or ${claims.NAME}", text, maxWide)
		}
		into = append(into, p)
	}
	return into, nil
}

// nextPart parses the first part of rest. The parameter rest is the unparsed end of text. nextPart
// also returns what follows the part and its slash. The result more is true if a slash follows the
// part.
func nextPart(text, rest string) (p Part, after string, more bool, bad *SyntaxError) {
	if !strings.HasPrefix(rest, "${") {
		word, after, more := strings.Cut(rest, "/")
		p, bad := wordPart(text, word)
		return p, after, more, bad
	}
	inside, after, closed := strings.Cut(rest[2:], "}")
	if !closed {
		word, tail, _ := strings.Cut(rest, "/")
		closed := strings.TrimSuffix(text, rest) + strings.TrimSuffix(word+"}/"+tail, "/")
		return p, "", false, Errorf("the pattern %q has a ${ without a }", text).Suggest(closed)
	}
	if after != "" && after[0] != '/' {
		return p, "", false, Errorf("in the pattern %q, ${%s} must be a whole path part", text, inside)
	}
	name, isClaim := strings.CutPrefix(inside, "claims.")
	switch {
	case inside == "user":
		p = Part{Kind: UserPlaceholder}
	case inside == "group":
		p = Part{Kind: GroupPlaceholder}
	case isClaim && name != "":
		p = Part{ClaimPlaceholder, name}
	default:
		bad := Errorf("the pattern %q has the unknown placeholder ${%s}; there are ${user}, ${group} and ${claims.NAME}", text, inside)
		if meant := nearestPlaceholder(inside); meant != "" {
			bad.Suggestion = strings.Replace(text, "${"+inside+"}", "${"+meant+"}", 1)
		}
		return p, "", false, bad
	}
	if after == "" {
		return p, "", false, nil
	}
	return p, after[1:], true, nil
}

// wordPart parses a part that does not begin with a placeholder.
func wordPart(text, word string) (Part, *SyntaxError) {
	switch {
	case word == "":
		what := "has an empty path part"
		if strings.HasPrefix(text, "/") {
			what = "begins with a slash"
		} else if strings.HasSuffix(text, "/") {
			what = "ends with a slash"
		}
		return Part{}, Errorf("the pattern %q %s", text, what).Suggest(withoutEmptyParts(text))
	case word == "*":
		return Part{Kind: Star}, nil
	case word == "**":
		return Part{Kind: DoubleStar}, nil
	case strings.IndexByte(word, '*') < 0 && strings.IndexByte(word, '$') < 0:
		return Part{Literal, word}, nil
	case strings.Contains(word, "${"):
		return Part{}, Errorf("in the pattern %q, the placeholder in %q must be a whole path part", text, word)
	case strings.Contains(word, "**"):
		meant := collapse(word, "**", "*")
		if meant == "*" {
			meant = "**"
		}
		return Part{}, Errorf("the pattern %q has %q: ** must be a whole path part, and * matches only text within a path part", text, word).Suggest(strings.Replace(text, word, meant, 1))
	case strings.Contains(word, "*"):
		return Part{Glob, word}, nil
	}
	return Part{Literal, word}, nil
}

func withoutEmptyParts(text string) string {
	return strings.Trim(collapse(text, "//", "/"), "/")
}

// collapse replaces old by the replacement repeatedly, until the text no longer contains old.
func collapse(text, old, replacement string) string {
	for strings.Contains(text, old) {
		text = strings.ReplaceAll(text, old, replacement)
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

// Match reports whether the pattern matches the whole name. It goes through the pattern once. For
// each part, it takes the beginning of the pattern up to this part, and computes the set of
// positions in the name at which a match of this beginning can end. There is no backtracking. So a
// pattern of n parts and a name of m parts take at most n times m comparisons.
func (p Pattern) Match(name *Path, who *Who) bool {
	reached := uint64(1) // bit i: the pattern so far matches the first i parts of the name
	end := uint64(1) << name.Parts
	for k, part := range p {
		var next uint64
		if part.Kind == DoubleStar {
			next = -(reached & -reached) & (end<<1 - 1) // all positions from the lowest one on
			if k == len(p)-1 {
				next &= next - 1
			}
		} else {
			for rest := reached &^ end; rest != 0; rest &= rest - 1 {
				next |= part.MatchAt(name, bits.TrailingZeros64(rest), who)
			}
		}
		if next == 0 {
			return false
		}
		reached = next
	}
	return reached&end != 0
}

// MatchAt returns the positions of the name at which the part can end if it begins at position
// i. The result is a bit set. Position i must not be the end of the name.
func (p Part) MatchAt(name *Path, i int, who *Who) (positions uint64) {
	matched := false
	switch p.Kind {
	case Star:
		matched = true
	case Literal:
		matched = name.Part(i) == p.Text
	case Glob:
		matched = matchGlob(p.Text, name.Part(i))
	case UserPlaceholder:
		user, ok := who.UserValue()
		matched = ok && name.Part(i) == user
	case GroupPlaceholder:
		matched = who.MemberOf(name.Part(i))
	case ClaimPlaceholder:
		for value := range who.Claim(p.Text) {
			if n := name.Follows(i, value); n > 0 {
				positions |= 1 << (i + n)
			}
		}
	}
	if matched {
		positions = 1 << (i + 1)
	}
	return positions
}

// matchGlob reports whether a glob matches the given part. The glob has at least one * and no **.
// matchGlob compares the text before the first * and the text after the last *. It searches the
// texts between them from left to right. The first match of each text is enough, so there is no
// backtracking.
func matchGlob(glob, part string) bool {
	before, after, middle := CutGlob(glob)
	if len(part) < len(before)+len(after) || !strings.HasPrefix(part, before) || !strings.HasSuffix(part, after) {
		return false
	}
	return FindAll(middle, part[len(before):len(part)-len(after)])
}

// CutGlob splits a glob at its first * and its last *. It returns the text before the first *,
// the text after the last *, and the text between them.
func CutGlob(glob string) (before, after, middle string) {
	first, last := strings.IndexByte(glob, '*'), strings.LastIndexByte(glob, '*')
	if first < last {
		middle = glob[first+1 : last]
	}
	return glob[:first], glob[last+1:], middle
}

// FindAll reports whether text contains all pieces in their order, without overlaps. The pieces
// are written with a * between them: a*b.
func FindAll(pieces, text string) bool {
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
