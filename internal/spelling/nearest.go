package spelling

import (
	"slices"
	"strings"
	"unicode"
)

// Nearest returns the known word that was most likely meant by word; "" if none is near. A word in
// another case or with other separators is nearest, then the beginning of one word alone, then the
// one that the fewest single mistakes lead to.
func Nearest(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	plain := simplify(word)
	if plain == "" {
		return ""
	}
	var begins []string
	for _, k := range known {
		other := simplify(k)
		if other == plain {
			return k
		}
		if len(plain) >= 3 && strings.HasPrefix(other, plain) {
			begins = append(begins, k)
		}
	}
	if len(begins) == 1 {
		return begins[0]
	}
	best, least := "", 1+max(1, len(plain)/3)
	for _, k := range known {
		if len(k) > 64 {
			continue
		}
		if d := Distance(plain, simplify(k)); d < least {
			best, least = k, d
		}
	}
	if best == "" && len(begins) > 0 {
		return begins[0]
	}
	return best
}

// simplify removes what people vary without meaning it: publicURL, public-url and public_url are one.
func simplify(word string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '_', '-', ' ', '.':
			return -1
		}
		return unicode.ToLower(r)
	}, word)
}

// synonyms are words that others have for ours.
var synonyms = map[string]string{
	"forbid": "deny", "block": "deny", "refuse": "deny", "reject": "deny",
	"permit": "allow", "grant": "allow", "accept": "allow",
	"remove": "delete", "upload": "push", "download": "pull",
}

// Synonym returns the one of the known words that says the same; "" if there is none.
func Synonym(word string, known []string) string {
	if ours := synonyms[strings.ToLower(word)]; slices.Contains(known, ours) {
		return ours
	}
	return ""
}
