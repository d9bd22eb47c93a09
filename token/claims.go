package token

import (
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// appendClaims appends the claims as the JSON object that registries expect.
func appendClaims(dst []byte, c *Claims) []byte {
	dst = append(dst, `{"iss":`...)
	dst = text.AppendJSON(dst, c.Issuer)
	dst = append(dst, `,"sub":`...)
	dst = text.AppendJSON(dst, c.Subject)
	dst = append(dst, `,"aud":`...)
	dst = text.AppendJSON(dst, c.Audience)
	dst = appendTime(dst, `,"exp":`, c.Expires)
	dst = appendTime(dst, `,"nbf":`, c.NotBefore)
	dst = appendTime(dst, `,"iat":`, c.IssuedAt)
	if c.ID != "" {
		dst = append(dst, `,"jti":`...)
		dst = text.AppendJSON(dst, c.ID)
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
		dst = text.AppendJSON(dst, a.Type)
		if a.Class != "" {
			dst = append(dst, `,"class":`...)
			dst = text.AppendJSON(dst, a.Class)
		}
		dst = append(dst, `,"name":`...)
		dst = text.AppendJSON(dst, a.Name)
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
