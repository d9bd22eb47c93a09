package notification

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Summary describes an event in one line for people, such as
//
//	push team/app:v1 sha256:1b2c3d4e5f60… by alice
//
// What registries and clients wrote is quoted and escaped where it is not plain, so that a line
// stays one line and does nothing to a terminal. It is at most about 1 KiB long.
func (e Event) Summary() string {
	b := make([]byte, 0, 128)
	b = appendWord(b, e.Action)
	b = append(b, ' ')
	b = appendWord(b, e.Repository)
	if e.Tag != "" {
		b = append(b, ':')
		b = appendWord(b, e.Tag)
	}
	if e.Digest != "" {
		b = append(b, ' ')
		b = appendWord(b, shortDigest(e.Digest))
	}
	if e.FromRepository != "" {
		b = append(b, " from "...)
		b = appendWord(b, e.FromRepository)
	}
	if e.Actor != "" {
		b = append(b, " by "...)
		b = appendWord(b, e.Actor)
	}
	if e.Request.Method == "HEAD" { // existence was checked: no pull
		b = append(b, " (HEAD)"...)
	}
	return string(b)
}

// shortDigest keeps the algorithm and 12 digits, as container tools print them.
func shortDigest(digest string) string {
	const digits = 12
	algorithm, hex, found := strings.Cut(digest, ":")
	if !found || len(hex) <= digits || len(algorithm) > 16 {
		return digest
	}
	return algorithm + ":" + hex[:digits] + "…"
}

// appendWord appends s bare if it is a plain word, and quoted and escaped if not; either way at most
// about maxWord bytes of it, with "…" for the rest.
func appendWord(b []byte, s string) []byte {
	const maxWord = 128
	cut := false
	if len(s) > maxWord {
		end := maxWord
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s, cut = s[:end], true
	}
	if plain(s) {
		b = append(b, s...)
	} else {
		b = strconv.AppendQuote(b, s)
	}
	if cut {
		b = append(b, "…"...)
	}
	return b
}

// plain says whether s can stand in a line as one word: visible characters only, no quotes.
func plain(s string) bool {
	for _, r := range s {
		if r == '"' || r == '\\' || r == utf8.RuneError || unicode.IsSpace(r) || !strconv.IsPrint(r) {
			return false
		}
	}
	return s != ""
}
