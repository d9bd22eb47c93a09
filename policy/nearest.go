package policy

import (
	"strings"
	"unicode"
)

// nearest returns the one of words that text is most likely a misspelling of: by edit distance, with
// two neighbours that changed places as one edit, and case as none. At most a third of the letters
// may differ.
func nearest(text string, words ...string) (string, bool) {
	best, least := "", 1+max(1, min(3, len(text)/3))
	for _, word := range words {
		if d := len(text) - len(word); d > least || -d > least {
			continue
		}
		if d := distance(strings.ToLower(text), strings.ToLower(word)); d < least || d == least && best != "" && word < best {
			best, least = word, d
		}
	}
	return best, best != ""
}

// distance is the optimal string alignment distance of a and b, in bytes.
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			next[j+1] = min(row[j]+change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
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
