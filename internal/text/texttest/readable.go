package texttest

import (
	"encoding/base64"
	"regexp"
)

// jwt matches a JSON Web Token: a header, a payload and a signature. The header and the payload are
// JSON objects, which begin with eyJ in base64url.
var jwt = regexp.MustCompile(`(eyJ[\w-]+)\.(eyJ[\w-]+)\.[\w-]*`)

// Readable returns text with the header and the payload of each JSON Web Token decoded, for the
// message of a failed test.
func Readable(text string) string {
	return jwt.ReplaceAllStringFunc(text, func(token string) string {
		part := jwt.FindStringSubmatch(token)
		header, err := base64.RawURLEncoding.DecodeString(part[1])
		if err != nil {
			return token
		}
		payload, err := base64.RawURLEncoding.DecodeString(part[2])
		if err != nil {
			return token
		}
		return "[JWT " + string(header) + " " + string(payload) + "]"
	})
}
