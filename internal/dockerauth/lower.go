package dockerauth

import (
	"cmp"
	"regexp/syntax"
	"slices"
	"sync"
	"unicode"
)

// docker_auth converts a directory's value with strings.ToLower before the comparison. A rule
// compares the unchanged value. So the rule's expression lists, for each character, all characters
// whose lower case is that character. A comparison that ignores case would be wrong in two ways.
// It treats ſ and s as equal, but ToLower leaves ſ unchanged. It treats İ and i as different, but
// ToLower converts İ to i.

// uppers maps a lower-case character c to all characters whose lower case is c.
var uppers = sync.OnceValue(func() map[rune][]rune {
	all := make(map[rune][]rune)
	for r := range unicode.MaxRune + 1 {
		if lower := unicode.ToLower(r); lower != r {
			all[lower] = append(all[lower], r)
		}
	}
	return all
})

// beforeLower returns an expression that matches a text if and only if source matches the text
// in lower case. It fails if a match depends on adjacent characters.
func beforeLower(source string) (string, bool) {
	re, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return "", false
	}
	re, ok := lowerExpression(re)
	if !ok {
		return "", false
	}
	return re.String(), true
}

func lowerExpression(re *syntax.Regexp) (*syntax.Regexp, bool) {
	switch re.Op {
	case syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return nil, false // the Kelvin sign is not a word character, but its lower case k is
	case syntax.OpLiteral:
		all := &syntax.Regexp{Op: syntax.OpConcat}
		for _, r := range re.Rune {
			ranges := []rune{r, r}
			if re.Flags&syntax.FoldCase != 0 {
				for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
					ranges = append(ranges, f, f)
				}
			}
			all.Sub = append(all.Sub, lowerClass(ranges))
		}
		return all, true
	case syntax.OpCharClass:
		return lowerClass(re.Rune), true
	}
	for i, sub := range re.Sub {
		one, ok := lowerExpression(sub)
		if !ok {
			return nil, false
		}
		re.Sub[i] = one
	}
	return re, true
}

// lowerClass returns the class of the characters whose lower case is in a class.
func lowerClass(ranges []rune) *syntax.Regexp {
	class := &syntax.Regexp{Rune: ranges}
	type span struct{ from, to rune }
	var spans []span
	for i := 0; i+1 < len(ranges); i += 2 {
		from := ranges[i]
		for r := from; r <= ranges[i+1]; r++ {
			if unicode.ToLower(r) != r { // a lower-case text never contains r
				if from < r {
					spans = append(spans, span{from, r - 1})
				}
				from = r + 1
			}
		}
		if from <= ranges[i+1] {
			spans = append(spans, span{from, ranges[i+1]})
		}
	}
	for lower, all := range uppers() {
		if inClass(class, lower) {
			for _, r := range all {
				spans = append(spans, span{r, r})
			}
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	made := &syntax.Regexp{Op: syntax.OpCharClass}
	for _, s := range spans {
		if n := len(made.Rune); n > 0 && s.from <= made.Rune[n-1]+1 {
			made.Rune[n-1] = max(made.Rune[n-1], s.to)
			continue
		}
		made.Rune = append(made.Rune, s.from, s.to)
	}
	if len(made.Rune) == 0 {
		made.Op = syntax.OpNoMatch
	}
	return made
}
