// Package secret answers: is there a secret in this text, and which kind is it?
//
// It recognises what can be told from anything else by its form: the credentials that Tidewaiter hands out, which
// have a prefix and a checksum, and JSON Web Tokens, whose first part is a JSON object with "alg". It finds them
// anywhere in a text: in quotes, in JSON, behind "Bearer", broken over lines, in the base64 of Basic authentication. A password has no form, and is never
// recognised: no text of 8 to 64 random characters is taken for a secret.
//
// Two questions are answered with it. Is what was presented as a password something else, which must not be sent to
// another service (identity.Classify)? And may this text be kept or shown (Redact)? Both are answered by the same
// scanner: what the one recognises the other removes. Looking is linear in the length
// of the text, and allocates only where a secret is found.
package secret

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Kind is the kind of a secret.
type Kind uint8

// The kinds of secrets.
const (
	Own       Kind = iota + 1 // a credential that Tidewaiter has handed out; Found.Letter says which
	Signed                    // a signed JSON Web Token: an ID token, or a registry's token
	Unsigned                  // one without a signature
	Encrypted                 // an encrypted one (JWE)
	Suspect                   // so much that looks like the beginning of a token that one may be hidden among it
)

// Found is a secret in a text.
type Found struct {
	Kind       Kind
	Letter     byte // of Own
	Valid      bool // of Own: whether its checksum is right; if not, somebody has mistyped or cut it
	Padded     bool // of the others: whether a part ends with "="
	Begin, End int  // where it stands, unless it is Hidden
	Hidden     bool // it stands there in another form: broken by white space, or in base64
}

// The bounds of what is looked at.
const (
	minToken   = 14             // bytes: the parts of {"alg":0} and two empty ones
	maxHeader  = 16 << 10       // bytes of a header in base64; one with certificates has some thousand
	maxLooked  = 16             // places in one run of letters and digits where a header may begin
	minEncoded = minCut * 4 / 3 // bytes of base64 that may hold a secret
)

// Find returns the first secret in a text.
func Find(text string) (Found, bool) { return find(text) }

// find is all that this package knows of where a secret may stand: what it does not find, Redact leaves.
func find[T string | []byte](text T) (Found, bool) {
	if len(text) < minToken {
		return Found{}, false
	}
	if f, ok := scan(text, 0, true); ok {
		return f, true
	}
	var room [1 << 10]byte
	joined := appendJoined(room[:0], text)
	if len(joined) == len(text) {
		return Found{}, false
	}
	f, ok := scan(joined, 0, true)
	f.Hidden = true
	return f, ok
}

// Bare reports whether the secret is all of the text, but for white space at its ends.
func (f *Found) Bare(text string) bool {
	return !f.Hidden && !f.Padded && strings.TrimSpace(text[:f.Begin]) == "" && strings.TrimSpace(text[f.End:]) == ""
}

// Mark is what stands in the place of a secret.
const Mark = "[secret]"

// Redact returns the text with each secret in it replaced by Mark. Find recognises none in what it returns.
func Redact(text string) string {
	if _, ok := find(text); !ok {
		return text
	}
	// What is ours and whole comes first: of one that is broken behind its middle, the rest would be left.
	out := markJoined(text, true)
	out = mark(out, out, false)
	out = markJoined(out, false)
	if _, ok := find(out); ok { // what is left has become one
		return Mark
	}
	return out
}

// Brief returns what a stranger sent, fit to be shown: without secrets, at most the given number
// of bytes of it, and with what cannot be seen escaped.
func Brief(sent string, most int) string { return text.Escape(text.Shorten(Redact(sent), most)) }

// RedactBytes is Redact for bytes, which it returns as they are where there is no secret in them.
func RedactBytes(text []byte) []byte {
	if _, ok := find(text); !ok {
		return text
	}
	return []byte(Redact(string(text)))
}

func markJoined(text string, valid bool) string {
	if joined := appendJoined(nil, text); len(joined) < len(text) {
		return mark(text, string(joined), valid)
	}
	return text
}

// mark puts Mark in the place of each secret, or of each that is Valid, that stands in joined, which is the text or the
// text without its white space.
func mark(text, joined string, valid bool) string {
	f, ok := scan(joined, 0, true)
	if !ok {
		return text
	}
	var out strings.Builder
	kept, at, place := 0, 0, 0 // text[at] is joined[place]
	whole := len(text) == len(joined)
	advance := func(to int) {
		for ; place < to; at++ {
			if n := blank(text, at); n > 0 && !whole {
				at += n - 1
				continue
			}
			place++
		}
	}
	for ; ok; f, ok = scan(joined, f.End, true) {
		if valid && !f.Valid {
			continue
		}
		if whole && f.Kind != Own {
			f.End = tail(text, f.End)
		}
		advance(f.Begin)
		for n := blank(text, at); n > 0 && !whole; n = blank(text, at) {
			at += n
		}
		out.WriteString(text[kept:at])
		out.WriteString(Mark)
		advance(f.End)
		kept = at
	}
	out.WriteString(text[kept:])
	return out.String()
}

// tail returns where the signature of a token ends that goes on behind white space. What is shorter may be a word, and
// is of no use to anybody without the rest.
func tail(text string, end int) int {
	const least = 20
	for {
		start := end
		for n := blank(text, start); n > 0; n = blank(text, start) {
			start += n
		}
		stop := start
		for stop < len(text) && inPart(text[stop]) {
			stop++
		}
		if start == end || stop-start < least {
			return end
		}
		end = stop
	}
}

// appendJoined appends the text without its white space: a terminal breaks lines, and a program folds headers.
func appendJoined[T string | []byte](to []byte, text T) []byte {
	for i := 0; i < len(text); {
		if n := blank(text, i); n > 0 {
			i += n
			continue
		}
		to = append(to, text[i])
		i++
	}
	return to
}

// blank returns how many bytes of white space stand at a place, also as JSON and logs write it: "\n", "\\n".
func blank[T string | []byte](text T, i int) int {
	if i >= len(text) || text[i] > ' ' && text[i] != '\\' {
		return 0
	}
	if text[i] <= ' ' {
		return 1
	}
	n := 1
	for i+n < len(text) && text[i+n] == '\\' {
		n++
	}
	if i+n < len(text) && (text[i+n] == 'n' || text[i+n] == 'r' || text[i+n] == 't') {
		n++
	}
	return n
}

// scan finds the first secret that begins at or behind a place; in base64, too, if encoded.
//
// It takes a time that grows with the length alone. Where more headers may begin in one run of letters and digits
// than are worth looking at, as no token has them, it is taken for a secret: decoys must not hide one.
func scan[T string | []byte](text T, from int, encoded bool) (Found, bool) {
	run := from                     // where the last run ends
	barren := 0                     // no token begins before it
	header, first, times := 0, 0, 0 // the end of the last header, where it may begin first, and how often it was looked at
	for i := from; i+minToken <= len(text); i++ {
		if text[i] == Prefix[0] {
			if f, ok := own(text, i); ok {
				return f, true
			}
		}
		if i >= barren && mayBegin(text, i) {
			t := token(text, i)
			if t.ok {
				return t.found, true
			}
			barren = t.barren
			if t.header != header {
				header, first, times = t.header, i, 0
			}
			if times++; times > maxLooked && barren <= i {
				return Found{Kind: Suspect, Begin: first, End: endOf(text, header)}, true
			}
		}
		if !encoded || i < run || !inPart(text[i]) {
			continue
		}
		for run = i; run < len(text) && inPart(text[run]); run++ {
		}
		if run-i < minEncoded {
			continue
		}
		if f, ok := decoded(text, i, run); ok {
			f.Begin, f.End, f.Hidden = i, run, true
			return f, true
		}
	}
	return Found{}, false
}

// mayBegin reports whether the header of a token may begin at a place.
func mayBegin[T string | []byte](text T, i int) bool {
	switch text[i] {
	case 'e': // base64 of "{", and then of a quote or white space, as in JSON
		switch c := text[i+2]; text[i+1] {
		case 'y':
			return c >= 'A' && c <= 'D' || c >= 'I' && c <= 'L'
		case 'w':
			return c >= 'k' && c <= 'r' || c >= '0' && c <= '3'
		}
	case 'I', 'C', 'D': // base64 of white space, which JSON may begin with
		return i == 0 || !inPart(text[i-1])
	}
	return false
}

// looked is what token has seen at a place.
type looked struct {
	found  Found
	ok     bool
	header int // where the header ends
	barren int // no token begins before it, whatever there is; 0: nothing is known
}

// token reads a JSON Web Token that begins at a place: three parts or more, of which the first is an object with
// "alg". Some programs write base64 with "+" and "/", or with "=" at its end.
func token[T string | []byte](text T, begin int) looked {
	end, parts, last := begin, 0, 0
	l := looked{found: Found{Kind: Signed, Begin: begin}}
	next := func() (more bool) { // reads a part
		start := end
		for end < len(text) && inPart(text[end]) {
			end++
		}
		last = end - start
		if parts == 0 {
			l.header = end
		}
		for end < len(text) && text[end] == '=' && last > 0 {
			l.found.Padded = true
			end++
		}
		parts++
		if end == len(text) || text[end] != '.' {
			return false
		}
		end++
		return true
	}
	more := next() && next() && next()
	if parts < 3 {
		l.barren = end // nothing that begins before it has more parts
		return l
	}
	if l.header-begin > maxHeader {
		l.barren = l.header - maxHeader
		return l
	}
	encoded := make([]byte, l.header-begin)
	copy(encoded, text[begin:l.header])
	for i, c := range encoded {
		switch c {
		case '+':
			encoded[i] = '-'
		case '/':
			encoded[i] = '_'
		}
	}
	n, err := base64.RawURLEncoding.Decode(encoded, encoded)
	if err != nil {
		return l
	}
	var h struct {
		Algorithm  json.RawMessage `json:"alg"`
		Encryption json.RawMessage `json:"enc"`
	}
	if !json.Valid(encoded[:n]) || json.Unmarshal(encoded[:n], &h) != nil || h.Algorithm == nil {
		return l
	}
	for more { // the others are read for a token alone: decoys in each part would cost all that follow
		more = next()
	}
	switch {
	case h.Encryption != nil || parts == 5:
		l.found.Kind = Encrypted
	case last == 0 || strings.EqualFold(string(h.Algorithm), `"none"`):
		l.found.Kind = Unsigned
	}
	l.found.End, l.ok = end, true
	return l
}

// endOf returns where parts that begin at a place, and those behind dots, end.
func endOf[T string | []byte](text T, begin int) int {
	for begin < len(text) && (inPart(text[begin]) || text[begin] == '.' || text[begin] == '=') {
		begin++
	}
	return begin
}

// inPart reports whether a byte may be in a part of a token.
func inPart(c byte) bool { return value[c] != none }

// none is the value of what is no base64.
const none = 0xff

// value is what each byte means in base64, in either alphabet.
var value = func() (v [256]byte) {
	for i := range v {
		v[i] = none
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") {
		v[c] = byte(i)
	}
	v['+'], v['-'], v['/'], v['_'] = 62, 62, 63, 63
	return v
}()

// decoded finds a secret of which a run of letters and digits is the base64, as of name and secret for Basic
// authentication. Other letters may stand before it, as of "%20" or of the word Basic where a line was broken.
func decoded[T string | []byte](text T, begin, end int) (Found, bool) {
	var room [1 << 10]byte
	for shift := range 4 {
		plain := room[:0]
		for i := begin + shift; i+1 < end; i += 4 {
			a, b := value[text[i]], value[text[i+1]]
			plain = append(plain, a<<2|b>>4)
			if i+2 < end {
				c := value[text[i+2]]
				plain = append(plain, b<<4|c>>2)
				if i+3 < end {
					plain = append(plain, c<<6|value[text[i+3]])
				}
			}
		}
		if f, ok := scan(plain, 0, false); ok {
			return f, true
		}
	}
	return Found{}, false
}
