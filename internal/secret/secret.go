// Package secret finds secrets in text and removes them.
//
// It recognizes two kinds of secrets by their form. Credentials of Tidewaiter have a prefix and a
// checksum. JSON Web Tokens begin with a JSON object that has "alg". Such secrets are found
// anywhere in a text: in quotes, in JSON, after "Bearer", broken over lines, or in the base64 of
// Basic authentication. Passwords have no special form, so they are not recognized. A text of 8
// to 64 random characters does not count as a secret.
//
// There are two uses. identity.NewPresented decides whether a presented password is a token, which
// must not be sent to another service. Redact makes a text safe to store or show. Both use the
// same scanner, so Redact removes exactly what Find recognizes. Scanning takes time linear in
// the length of the text, and allocates only if it finds a secret.
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
	Own       Kind = iota + 1 // a credential of Tidewaiter; Found.Letter is its kind
	Signed                    // a signed JSON Web Token: an ID token, or a registry's token
	Unsigned                  // a JSON Web Token without a signature
	Encrypted                 // an encrypted token (JWE)
	// Suspect is a text with so many possible beginnings of a token that a real token could be
	// hidden among them.
	Suspect
)

// Found is a secret that was found in a text.
type Found struct {
	Kind       Kind
	Letter     byte // kind of the credential, if Own
	Valid      bool // if Own: the checksum is right, so the credential is complete
	Padded     bool // if not Own: a part ends with "="
	Begin, End int  // position of the secret; not set if Hidden
	Hidden     bool // the secret is broken by white space, or encoded in base64
}

// Limits of the scanner.
const (
	minToken   = 14             // bytes: the base64 of {"alg":0}, and two empty parts
	maxHeader  = 16 << 10       // bytes of a header in base64; real headers have a few thousand
	maxLooked  = 16             // places in a run of letters and digits where a header may begin
	minEncoded = minCut * 4 / 3 // shortest base64 that may hold a secret
	maxBegin   = 8 << 10        // bytes that Shorten examines
)

// Find returns the first secret in a text.
func Find(text string) (Found, bool) { return find(text) }

// find defines for the whole package which text is a secret. Redact removes exactly the secrets
// that find returns.
func find[T string | []byte](text T) (Found, bool) {
	if len(text) < minToken {
		return Found{}, false
	}
	s := scanner[T]{text: text, encoded: true}
	if f, ok := s.next(); ok {
		return f, true
	}
	if !hasBlank(text) {
		return Found{}, false
	}
	var buf [1 << 10]byte
	joined := scanner[[]byte]{text: appendJoined(buf[:0], text), encoded: true}
	f, ok := joined.next()
	f.Hidden = true
	return f, ok
}

// Bare reports whether the text has only the secret, and white space around it.
func (f *Found) Bare(text string) bool {
	return !f.Hidden && !f.Padded && strings.TrimSpace(text[:f.Begin]) == "" && strings.TrimSpace(text[f.End:]) == ""
}

// Mark replaces a secret.
const Mark = "[secret]"

// Redact returns the text with each secret replaced by Mark. Find finds no secret in the result.
func Redact(text string) string {
	if _, ok := find(text); !ok {
		return text
	}
	// Complete credentials of Tidewaiter are replaced first. Otherwise, if white space breaks a
	// credential after its middle, its last characters would stay in the text.
	out := markJoined(text, true)
	out = mark(&scanner[string]{text: out, encoded: true}, out, false)
	out = markJoined(out, false)
	if _, ok := find(out); ok { // the parts around a removed secret can form another secret
		return Mark
	}
	return out
}

// Shorten removes secrets from a text, and shortens the result as text.Shorten does. Use Shorten
// where a client chooses the length of a text, because Shorten examines at most the first
// maxBegin bytes.
func Shorten(sent string, most int) string {
	if len(sent) <= maxBegin {
		return text.Shorten(Redact(sent), most)
	}
	out := Redact(sent[:maxBegin])
	// A truncated secret may not be recognized, so it must not begin within the shown bytes.
	if endOf(out, most) >= len(out) {
		return Mark
	}
	return text.Shorten(out, most)
}

// Brief returns text from a client in a form that is safe to show: without secrets, shortened to
// a number of bytes, and with invisible characters escaped.
func Brief(sent string, most int) string { return text.Escape(Shorten(sent, most)) }

// RedactBytes is Redact for bytes. If the text contains no secret, it returns the argument.
func RedactBytes(text []byte) []byte {
	if _, ok := find(text); !ok {
		return text
	}
	return []byte(Redact(string(text)))
}

func markJoined(text string, valid bool) string {
	if joined := appendJoined(nil, text); len(joined) < len(text) {
		return mark(&scanner[string]{text: string(joined), encoded: true}, text, valid)
	}
	return text
}

// mark puts the constant Mark in place of each secret that the scanner finds. If onlyValid is
// true, mark replaces only secrets whose field Valid is true. The scanner reads the text, or the
// text without its white space.
func mark(s *scanner[string], text string, onlyValid bool) string {
	f, ok := s.next()
	if !ok {
		return text
	}
	var out strings.Builder
	kept, at, place := 0, 0, 0 // text[at] is s.text[place]
	whole := len(text) == len(s.text)
	skip := func() bool { // skips white space that is not in s.text
		if whole {
			return false
		}
		n := blank(text, at)
		at += n
		s.steps += n
		return n > 0
	}
	advance := func(to int) {
		for ; place < to; place++ {
			for skip() {
			}
			at++
		}
	}
	for ; ok; f, ok = s.next() {
		s.at = f.End
		if onlyValid && !f.Valid {
			continue
		}
		if whole && f.Kind != Own {
			s.at = s.tail(f.End)
		}
		advance(f.Begin)
		for skip() {
		}
		out.WriteString(text[kept:at])
		out.WriteString(Mark)
		advance(s.at)
		kept = at
	}
	out.WriteString(text[kept:])
	return out.String()
}

// appendJoined appends the text without white space. A token can contain white space because
// terminals break lines and programs fold headers.
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

func hasBlank[T string | []byte](text T) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] == '\\' {
			return true
		}
	}
	return false
}

// blank returns the length of the white space that begins at text[i]. White space that JSON or
// a log has escaped counts too: "\n", "\\n".
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

// scanner finds the secrets of a text one after the other.
//
// Its time is linear in the length of the text, even with many secrets and decoys. After the
// scanner has found a secret in a run of letters and digits, it still remembers facts about that
// run.
type scanner[T string | []byte] struct {
	text    T
	encoded bool // also look for secrets in base64
	at      int  // where the next search begins. Callers set it to the end of the last secret
	run     int  // the end of the last run that was decoded
	barren  int  // no token begins before this index
	header  int  // the end of the last header that was examined
	first   int  // the first possible beginning of that header
	times   int  // how often that header was examined
	steps   int  // number of bytes that were examined again. Only tests read it
}

// next returns the next secret.
//
// A header with more than maxLooked possible beginnings counts as a secret. Real tokens have
// fewer, and decoys must not hide a token.
//
// A run is decoded only one time. If the run has a secret, the base64 after the secret can still
// be a token that begins with white space. Redact replaces the secrets by marks and then examines
// the text again, so Redact finds such a token.
func (s *scanner[T]) next() (Found, bool) {
	text := s.text
	for i := s.at; i+minToken <= len(text); i++ {
		if text[i] == Prefix[0] {
			if f, ok := ownCredential(text, i); ok {
				return f, true
			}
		}
		if i >= s.barren && mayBegin(text, i) {
			t := s.token(i)
			if t.ok {
				return t.found, true
			}
			s.barren = t.barren
			if t.header != s.header {
				s.header, s.first, s.times = t.header, i, 0
			}
			if s.times++; s.times > maxLooked && s.barren <= i {
				return Found{Kind: Suspect, Begin: max(s.first, s.at), End: endOf(text, s.header)}, true
			}
		}
		if !s.encoded || i < s.run || !inPart(text[i]) {
			continue
		}
		plain := true // most long runs are digests or UUIDs, which are not decoded
		for s.run = i; s.run < len(text) && inPart(text[s.run]); s.run++ {
			plain = plain && isHex(text[s.run])
		}
		s.steps += s.run - i
		// The base64 of a secret is never all hexadecimal. A byte can be the first, second or
		// third byte of a base64 group. In each case, the base64 of a secret's first letter has a
		// character that is not hexadecimal.
		if plain || s.run-i < minEncoded {
			continue
		}
		if f, ok := s.findDecoded(i, s.run); ok {
			f.Begin, f.End, f.Hidden = i, s.run, true
			return f, true
		}
	}
	return Found{}, false
}

// tail returns the end of a token whose signature continues after white space. A part of fewer
// than 20 characters can be a word, so such a part is not removed. Such a short part is useless
// to anyone who lacks the other parts of the token.
func (s *scanner[T]) tail(end int) int {
	const least = 20
	for {
		start := end
		for n := blank(s.text, start); n > 0; n = blank(s.text, start) {
			start += n
		}
		stop := start
		for stop < len(s.text) && inPart(s.text[stop]) {
			stop++
		}
		s.steps += stop - end
		if start == end || stop-start < least {
			return end
		}
		end = stop
	}
}

// mayBegin reports whether the header of a token can begin at text[i].
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

// candidate is the result of reading a token at an index.
type candidate struct {
	found  Found
	ok     bool
	header int // where the header ends
	barren int // no token begins before this index; 0: unknown
}

// token reads a JSON Web Token that begins at an index: three or more parts, the first of which
// is an object with "alg". Some programs write base64 with "+" and "/", or with "=" at the end.
func (s *scanner[T]) token(begin int) candidate {
	text := s.text
	end, parts, last := begin, 0, 0
	l := candidate{found: Found{Kind: Signed, Begin: begin}}
	next := func() (more bool) { // reads a part
		start := end
		for end < len(text) && inPart(text[end]) {
			end++
		}
		last = end - start
		s.steps += last
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
	more := true
	for more && parts < 3 {
		more = next()
	}
	if parts < 3 {
		l.barren = end // a token that begins before this index has no more parts
		return l
	}
	if l.header-begin > maxHeader {
		l.barren = l.header - maxHeader
		return l
	}
	encoded := make([]byte, l.header-begin)
	s.steps += copy(encoded, text[begin:l.header])
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
	for more { // only for a token, because decoys in each part would make this quadratic
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

// endOf returns the index after a token's parts and dots. The first of them is at text[start].
func endOf[T string | []byte](text T, start int) int {
	for start < len(text) && (inPart(text[start]) || text[start] == '.' || text[start] == '=') {
		start++
	}
	return start
}

// inPart reports whether a byte can be in a part of a token.
func inPart(c byte) bool { return value[c] != notBase64 }

// isHex reports whether a byte can be in a digest or a UUID.
func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c == '-' }

// notBase64 is the value of bytes that are not base64.
const notBase64 = 0xff

// value maps a byte to the six bits that it stands for in base64, in either of the two alphabets.
// It maps all other bytes to notBase64.
var value = func() (v [256]byte) {
	for i := range v {
		v[i] = notBase64
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") {
		v[c] = byte(i)
	}
	v['+'], v['-'], v['/'], v['_'] = 62, 62, 63, 63
	return v
}()

// findDecoded finds a secret in a run of letters and digits that is base64, such as the name and
// secret of Basic authentication. Other letters can precede the base64, such as the end of "%20",
// or the word Basic before a line break.
func (s *scanner[T]) findDecoded(begin, end int) (Found, bool) {
	text := s.text
	var buf [1 << 10]byte
	for shift := range 4 {
		plain := buf[:0]
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
		inner := scanner[[]byte]{text: plain}
		f, ok := inner.next()
		s.steps += len(plain) + inner.steps
		if ok {
			return f, true
		}
	}
	return Found{}, false
}
