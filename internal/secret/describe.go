package secret

import "strings"

// The names of the kinds of secrets. Tidewaiter's own secrets are named by their letter.
var (
	names = map[Kind]string{
		Signed: "an ID token", Unsigned: "a token without a signature", Encrypted: "an encrypted token", Suspect: "what may be a token",
	}
	ownNames = map[byte]string{
		Access: "an access token", Robot: "a robot's secret", Session: "a session", Refresh: "a refresh token",
		Setup: "a secret for the first administrator",
	}
)

// String returns the name of the secret: "an ID token", "an access token of Tidewaiter".
func (f *Found) String() string {
	if f.Kind != Own {
		return names[f.Kind]
	}
	name := ownNames[f.Letter] + " of Tidewaiter"
	if !f.Valid {
		name += " with a typing mistake"
	}
	return name
}

// Describe returns the kind of a secret in a text and its surroundings: "an ID token in
// quotes", "a robot's secret of Tidewaiter after the word Bearer". The result contains no part
// of the text.
func (f *Found) Describe(text string) string {
	what := f.String()
	if f.Padded {
		what += ` with "=" in it`
	}
	if f.Hidden {
		if strings.ContainsAny(strings.TrimSpace(text), "\r\n") {
			return what + " over several lines"
		}
		return what + " in another form"
	}
	before, after := strings.TrimSpace(text[:f.Begin]), strings.TrimSpace(text[f.End:])
	if before == "" && after == "" {
		return what
	}
	scheme, _, _ := strings.Cut(strings.TrimLeft(before, quotes), " ")
	scheme = strings.TrimRight(scheme, ":"+quotes)
	switch {
	case strings.ContainsAny(before, "{["):
		return what + " in JSON"
	case strings.EqualFold(scheme, "Bearer"), strings.EqualFold(scheme, "Basic"), strings.EqualFold(scheme, "token"):
		return what + " after the word " + strings.ToUpper(scheme[:1]) + strings.ToLower(scheme[1:])
	case strings.Trim(before, quotes) == "" && strings.Trim(after, quotes) == "":
		return what + " in quotes"
	}
	return what + " with other text around it"
}

// quotes are the quotation marks of shells, JSON and word processors.
const quotes = "\"'`“”‘’"

// Misused describes a text that is or contains a token, and so cannot be a password: "an ID
// token in quotes". It returns "" if the text can be a password.
func Misused(text string) string {
	if f, ok := Find(text); ok {
		return f.Describe(text)
	}
	if strings.HasPrefix(strings.TrimSpace(text), Prefix) { // secret scanners report this, too
		return "a token of Tidewaiter"
	}
	return ""
}
