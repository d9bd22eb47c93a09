package token

import (
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// appendClaims appends the claims as the JSON object that registries expect.
func appendClaims(dst []byte, c *Claims) []byte {
	dst = appendText(dst, `{"iss":`, c.Issuer)
	dst = appendText(dst, `,"sub":`, c.Subject)
	dst = appendText(dst, `,"aud":`, c.Audience)
	dst = appendTime(dst, `,"exp":`, c.Expires)
	dst = appendTime(dst, `,"nbf":`, c.NotBefore)
	dst = appendTime(dst, `,"iat":`, c.IssuedAt)
	if c.ID != "" {
		dst = appendText(dst, `,"jti":`, c.ID)
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
		dst = appendText(dst, `{"type":`, a.Type)
		if a.Class != "" {
			dst = appendText(dst, `,"class":`, a.Class)
		}
		dst = appendText(dst, `,"name":`, a.Name)
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

func appendText(dst []byte, key, value string) []byte {
	return text.AppendJSON(append(dst, key...), value)
}

func appendTime(dst []byte, key string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return strconv.AppendInt(append(dst, key...), t.Unix(), 10)
}
