package token

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// appendClaims appends the claims as the JSON object that registries expect.
func appendClaims(dst []byte, c *Claims) []byte {
	dst = append(dst, `{"iss":`...)
	dst = appendString(dst, c.Issuer)
	dst = append(dst, `,"sub":`...)
	dst = appendString(dst, c.Subject)
	dst = append(dst, `,"aud":`...)
	dst = appendString(dst, c.Audience)
	dst = appendTime(dst, `,"exp":`, c.Expires)
	dst = appendTime(dst, `,"nbf":`, c.NotBefore)
	dst = appendTime(dst, `,"iat":`, c.IssuedAt)
	if c.ID != "" {
		dst = append(dst, `,"jti":`...)
		dst = appendString(dst, c.ID)
	}
	dst = append(dst, `,"access":[`...)
	begin := len(dst)
	for i := range c.Access {
		a := &c.Access[i]
		if a.Actions == 0 {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"type":`...)
		dst = appendString(dst, a.Type)
		if a.Class != "" {
			dst = append(dst, `,"class":`...)
			dst = appendString(dst, a.Class)
		}
		dst = append(dst, `,"name":`...)
		dst = appendString(dst, a.Name)
		dst = append(dst, `,"actions":`...)
		separator := byte('[')
		for action := range a.Actions.Each {
			dst = append(dst, separator, '"')
			dst = append(dst, action...)
			dst = append(dst, '"')
			separator = ','
		}
		dst = append(dst, `]}`...)
	}
	return append(dst, `]}`...)
}

func appendTime(dst []byte, key string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return strconv.AppendInt(append(dst, key...), t.Unix(), 10)
}

// appendString appends s as a JSON string. What is no UTF-8 becomes U+FFFD, as with encoding/json.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0 // bytes of s that are in dst
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[done:i]...)
		switch {
		case c >= utf8.RuneSelf:
			dst = append(dst, `\ufffd`...)
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i += size
		done = i
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}
