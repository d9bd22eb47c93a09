package when

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/spelling"
)

// nearest returns the one of words that text is most likely a misspelling of, or "": by edit distance,
// with two neighbours that changed places as one edit, and case as none. At most a third of the letters may differ.
func nearest(text string, words []string) string {
	best, least := "", 1+max(1, min(3, len(text)/3))
	for _, word := range words {
		if d := len(text) - len(word); d >= least || -d >= least {
			continue
		}
		if d := spelling.Distance(strings.ToLower(text), strings.ToLower(word)); d < least {
			best, least = word, d
		}
	}
	return best
}
