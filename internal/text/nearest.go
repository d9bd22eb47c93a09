package text

import (
	"slices"
	"strings"
	"unicode"
)

// Limits of Nearest: the bytes of a word, and the number of known words. The time for comparing
// two words is proportional to the product of their lengths.
const (
	maxWord  = 64
	maxWords = 10_000
)

// synonyms maps words of other programs to Tidewaiter's words.
var synonyms = map[string]string{
	"forbid": "deny", "block": "deny", "refuse": "deny", "reject": "deny",
	"permit": "allow", "grant": "allow", "accept": "allow",
	"remove": "delete", "upload": "push", "download": "pull",
}

// Nearest returns the known word that the author of the given word most likely meant, or "". It
// tries these candidates in order: a known word that differs only in case or separators; the known
// word that begins with the given word, if there is only one; the known word with the smallest
// distance, if the distance is at most a third of the letters; a known word that begins with the
// given word; a synonym. Of equally good candidates, it returns the first in the alphabet, so the
// order of the known words does not matter.
func Nearest(word string, known []string) string {
	plain := simplify(word)
	if plain == "" || len(word) > maxWord || len(known) > maxWords {
		return ""
	}
	var begins []string
	best, least := "", 1+max(1, len(plain)/3)
	for _, k := range known {
		if len(k) > maxWord {
			continue
		}
		other := simplify(k)
		if other == plain {
			return k
		}
		if len(plain) >= 3 && strings.HasPrefix(other, plain) {
			begins = append(begins, k)
		}
		if d := len(plain) - len(other); d > least || -d > least {
			continue // the distance is at least d
		}
		if d := distance(plain, other); d < least || d == least && best != "" && k < best {
			best, least = k, d
		}
	}
	switch ours := synonyms[strings.ToLower(word)]; {
	case len(begins) == 1:
		return begins[0]
	case best != "":
		return best
	case len(begins) > 0:
		return slices.Min(begins)
	case slices.Contains(known, ours):
		return ours
	}
	return ""
}

// simplify removes differences without meaning: it returns the same text for publicURL,
// public-url and public_url.
func simplify(word string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '_', '-', ' ', '.':
			return -1
		}
		return unicode.ToLower(r)
	}, word)
}

// distance returns the smallest number of typing errors that turn a into b: a byte left out,
// added or changed, or two adjacent bytes swapped (optimal string alignment).
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			changed := above[j]
			if a[i] != b[j] {
				changed++
			}
			row[j+1] = min(changed, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
