package config

import (
	"unicode"

	"github.com/tidewaiter/tidewaiter/internal/spelling"
)

// nearest returns the known word that was most likely meant by word; "" if none is near.
func nearest(word string, known []string) string { return spelling.Nearest(word, known) }

// isPrint reports whether r can be shown as it is. Format characters are not: some turn the order of
// a line around.
func isPrint(r rune) bool { return unicode.IsPrint(r) }

func quoted(text string) string { return spelling.Quoted(text) }

// Nearest returns the one of the names that was most likely meant by a misspelt one; "" if none is near.
func Nearest(name string, names []string) string { return nearest(name, names) }
