package policy

import (
	"strings"
	"unicode"

	"github.com/tidewaiter/tidewaiter/internal/spelling"
)

// nearest returns the one of words that text is most likely a misspelling of: by edit distance,
// with two neighbours that changed places as one edit, and case as none. At most a third of the
// letters may differ.
func nearest(text string, words ...string) (string, bool) {
	best, least := "", 1+max(1, min(3, len(text)/3))
	for _, word := range words {
		if d := len(text) - len(word); d > least || -d > least {
			continue
		}
		if d := spelling.Distance(strings.ToLower(text), strings.ToLower(word)); d < least || d == least && best != "" && word < best {
			best, least = word, d
		}
	}
	return best, best != ""
}

// printable reports whether s can be shown in one line without hiding anything.
func printable(s string) bool {
	plain := true
	for i := range len(s) {
		plain = plain && ' ' <= s[i] && s[i] <= '~'
	}
	if plain {
		return true
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return false
		}
	}
	return true
}
