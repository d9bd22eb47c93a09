// Package secret answers: is there a secret in this text, and which kind is it?
//
// It recognises what can be told from anything else by its form: the credentials that Tidewaiter hands out, which
// have a prefix and a checksum, and JSON Web Tokens, whose first part is a JSON object with "alg". It finds them
// anywhere in a text: in quotes, in JSON, behind "Bearer", broken over lines. A password has no form, and is never
// recognised: no text of 8 to 64 random characters is taken for a secret.
//
// Two questions are answered with it. Is what was presented as a password something else, which must not be sent to
// another service (identity.Classify)? And may this text be kept or shown (Redact)? Looking is linear in the length
// of the text, and allocates only where a secret is found.
package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// Kind is the kind of a secret.
type Kind uint8

// The kinds of secrets.
const (
	Own       Kind = iota + 1 // a credential that Tidewaiter has handed out; Found.Letter says which
	Signed                    // a signed JSON Web Token: an ID token, or a registry's token
	Unsigned                  // one without a signature
	Encrypted                 // an encrypted one (JWE)
)

// Found is a secret in a text.
type Found struct {
	Kind       Kind
	Letter     byte // of Own
	Valid      bool // of Own: whether its checksum is right; if not, somebody has mistyped or cut it
	Padded     bool // of the others: whether a part ends with "="
	Begin, End int  // where it stands, unless it is Hidden
	Hidden     bool // it stands there in another form: broken by white space, or encoded for Basic authentication
}

// The bounds of JSON Web Tokens.
const (
	minToken  = 14       // bytes: the parts of {"alg":0} and two empty ones
	maxHeader = 12 << 10 // bytes of a header, before base64; one with certificates has some thousand
	maxLooked = 16       // headers that are decoded in one text
)

// Find returns the first secret in a text.
func Find(text string) (Found, bool) {
	if len(text) < minToken {
		return Found{}, false
	}
	if f, ok := scan(text, 0); ok {
		return f, true
	}
	return hidden(text)
}

// Bare reports whether the secret is all of the text, but for white space at its ends.
func (f *Found) Bare(text string) bool {
	return !f.Hidden && !f.Padded && strings.TrimSpace(text[:f.Begin]) == "" && strings.TrimSpace(text[f.End:]) == ""
}

// Mark is what stands in the place of a secret.
const Mark = "[secret]"

// Redact returns the text with each secret in it replaced by Mark.
func Redact(text string) string {
	if len(text) < minToken {
		return text
	}
	f, ok := scan(text, 0)
	if !ok {
		if strings.ContainsAny(text, "\r\n") {
			if _, ok := broken(text); ok {
				return Mark
			}
		}
		return text
	}
	var out strings.Builder
	end := 0
	for ok {
		out.WriteString(text[end:f.Begin])
		out.WriteString(Mark)
		end = f.End
		f, ok = scan(text, end)
	}
	out.WriteString(text[end:])
	return out.String()
}

// RedactBytes is Redact for bytes, which it returns as they are where there is no secret in them.
func RedactBytes(text []byte) []byte {
	if _, ok := scan(text, 0); !ok && !bytes.ContainsAny(text, "\r\n") {
		return text
	}
	before := string(text)
	if after := Redact(before); after != before {
		return []byte(after)
	}
	return text
}

// scan finds the first secret that begins at or behind a place.
func scan[T string | []byte](text T, from int) (Found, bool) {
	looked, barren := 0, 0 // no token begins before barren
	for i := from; i+minToken <= len(text); i++ {
		switch text[i] {
		case Prefix[0]:
			if f, ok := own(text, i); ok {
				return f, true
			}
			continue
		case 'e': // base64 of "{"; y or w is next if a quote or white space is, in JSON
			if text[i+1] != 'y' && text[i+1] != 'w' {
				continue
			}
		case 'I', 'C', 'D': // base64 of white space, which JSON may begin with
			if i > 0 && inPart(text[i-1]) {
				continue
			}
		default:
			continue
		}
		if i < barren || looked == maxLooked {
			continue
		}
		f, ok := token(text, i)
		if ok {
			return f, true
		}
		if f.End > 0 {
			barren = f.End
		} else {
			looked++
		}
	}
	return Found{}, false
}

// token reads a JSON Web Token that begins at a place: three parts or more, of which the first is an object with
// "alg". Some programs write base64 with "+" and "/", or with "=" at its end. Where there is none, and none can begin
// before another place either, that is the End of what it returns.
func token[T string | []byte](text T, begin int) (Found, bool) {
	end, header, parts := begin, 0, 0
	f := Found{Kind: Signed, Begin: begin}
	last := 0 // bytes of the last part
	for {
		start := end
		for end < len(text) && inPart(text[end]) {
			end++
		}
		last = end - start
		if parts == 0 {
			header = end
		}
		for end < len(text) && text[end] == '=' && last > 0 {
			f.Padded = true
			end++
		}
		parts++
		if end == len(text) || text[end] != '.' {
			break
		}
		end++
	}
	if parts < 3 {
		return Found{End: end}, false // nothing that begins before its end has more parts
	}
	if header-begin > maxHeader*4/3 {
		return Found{}, false
	}
	encoded := make([]byte, header-begin)
	copy(encoded, text[begin:header])
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
		return Found{}, false
	}
	var h struct {
		Algorithm  json.RawMessage `json:"alg"`
		Encryption json.RawMessage `json:"enc"`
	}
	if !json.Valid(encoded[:n]) || json.Unmarshal(encoded[:n], &h) != nil || h.Algorithm == nil {
		return Found{}, false
	}
	switch {
	case h.Encryption != nil || parts == 5:
		f.Kind = Encrypted
	case last == 0 || strings.EqualFold(string(h.Algorithm), `"none"`):
		f.Kind = Unsigned
	}
	f.End = end
	return f, true
}

// inPart reports whether a byte may be in a part of a token.
func inPart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '+' || c == '/'
}

// hidden finds a secret that stands in a text in another form.
func hidden(text string) (Found, bool) {
	if f, ok := broken(text); ok {
		return f, true
	}
	// "Basic", and name and secret in base64: a header, or what docker keeps in its config.
	encoded := strings.Trim(text, " \t\r\n\"'")
	if scheme, rest, ok := strings.Cut(encoded, " "); ok && strings.EqualFold(strings.TrimSuffix(scheme, ":"), "Basic") {
		encoded = strings.Trim(rest, " \t\"'")
	} else if len(encoded) < (Length+2)*4/3 {
		return Found{}, false
	}
	for i := range len(encoded) {
		if !inPart(encoded[i]) && encoded[i] != '=' {
			return Found{}, false
		}
	}
	var room [1 << 10]byte
	plain, err := base64.StdEncoding.AppendDecode(room[:0], []byte(encoded))
	if err != nil {
		return Found{}, false
	}
	f, ok := scan(plain, 0)
	f.Hidden = true
	return f, ok
}

// broken finds a secret with white space in it, as a terminal leaves it that breaks lines.
func broken(text string) (Found, bool) {
	if !strings.ContainsAny(text, " \t\r\n") || strings.Count(text, ".") < 2 && strings.IndexByte(text, '_') < 0 {
		return Found{}, false
	}
	var room [1 << 10]byte
	joined := room[:0]
	for i := range len(text) {
		if c := text[i]; c > ' ' {
			joined = append(joined, c)
		}
	}
	f, ok := scan(joined, 0)
	f.Hidden = true
	return f, ok
}
