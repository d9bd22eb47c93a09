package notification

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// maxWord is the maximum length in bytes of each untrusted word.
const maxWord = 128

// Summary returns a description of an event in one line, such as
//
//	push team/app:v1 sha256:1b2c3d4e5f60… by alice
//
// Text from registries and clients is quoted and escaped where needed, so that it cannot add
// lines or control a terminal. The line has at most about 1 KiB.
func (e Event) Summary() string {
	b := make([]byte, 0, 128)
	b = text.AppendWord(b, e.Action, maxWord)
	b = append(b, ' ')
	b = text.AppendWord(b, e.Repository, maxWord)
	if e.Tag != "" {
		b = append(b, ':')
		b = text.AppendWord(b, e.Tag, maxWord)
	}
	if e.Digest != "" {
		b = append(b, ' ')
		b = text.AppendWord(b, shortDigest(e.Digest), maxWord)
	}
	if e.FromRepository != "" {
		b = append(b, " from "...)
		b = text.AppendWord(b, e.FromRepository, maxWord)
	}
	if e.Actor != "" {
		b = append(b, " by "...)
		b = text.AppendWord(b, e.Actor, maxWord)
	}
	if e.Request.Method == "HEAD" { // the client only checked existence
		b = append(b, " (HEAD)"...)
	}
	return string(b)
}

// shortDigest returns the algorithm and the first 12 digits of a digest. Container tools print the
// same form.
func shortDigest(digest string) string {
	const digits = 12
	algorithm, hex, found := strings.Cut(digest, ":")
	if !found || len(hex) <= digits || len(algorithm) > 16 {
		return digest
	}
	return algorithm + ":" + hex[:digits] + "…"
}
