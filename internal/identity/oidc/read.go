package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/strictjson"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Bounds of a token. Real headers have about a hundred bytes, and claims of Kubernetes have
// four levels.
const (
	maxHeader = 4 << 10 // bytes of base64
	maxKeyID  = 512     // bytes
	maxDepth  = 8       // nested objects and lists
)

// unverified is a parsed token whose signature was not checked.
type unverified struct {
	raw     string
	alg     string
	kid     string
	payload []byte
	claims  map[string]any // string, json.Number, bool, nil, []any and map[string]any
}

// types are the accepted values of the header typ, which is optional. Other kinds of tokens, such
// as access tokens (at+jwt) and logout tokens, have other types. So they cannot be used as ID
// tokens.
func types() []string { return []string{"jwt", "jose"} }

// trim removes white space that a shell or a file can add.
func trim(secret string) string { return strings.TrimSpace(secret) }

// read parses a token. From the header it takes only the fields that select a key. Fields that
// would supply a key are ignored or refused.
func read(raw string) (*unverified, error) {
	if len(raw) > identity.MaxToken {
		return nil, &refusal{reason: "it is too long"}
	}
	if strings.Count(raw, ".") != 2 {
		return nil, &refusal{reason: "it does not have three parts"}
	}
	parts := strings.SplitN(raw, ".", 3)
	if parts[2] == "" {
		return nil, &refusal{reason: "it has no signature"}
	}
	if len(parts[0]) > maxHeader {
		return nil, &refusal{reason: "its header is too long"}
	}
	_, header, err := decodePart(parts[0])
	if err != nil {
		return nil, &refusal{reason: "its header cannot be read: " + err.Error()}
	}
	t := &unverified{raw: raw}
	if t.payload, t.claims, err = decodePart(parts[1]); err != nil {
		return nil, &refusal{reason: "its claims cannot be read: " + err.Error()}
	}
	if err := t.header(header); err != nil {
		return nil, err
	}
	return t, nil
}

// decodePart decodes base64url JSON and accepts only the canonical encoding.
func decodePart(part string) ([]byte, map[string]any, error) {
	if strings.ContainsAny(part, "\r\n") { // the decoder would ignore line breaks
		return nil, nil, fmt.Errorf("it contains a line break")
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, nil, fmt.Errorf("it is not base64url")
	}
	object, err := strictjson.Object(text, maxDepth)
	return text, object, err
}

func (t *unverified) header(h map[string]any) error {
	subject, _ := t.claims["sub"].(string)
	refuse := func(reason string) error { return &refusal{reason: reason, subject: subject} }
	var ok bool
	if t.alg, ok = h["alg"].(string); !ok || !slices.Contains(Algorithms(), t.alg) {
		return refuse("it is not signed by one of " + strings.Join(Algorithms(), ", "))
	}
	for _, name := range []string{"crit", "b64", "enc", "zip"} {
		if _, ok := h[name]; ok {
			return refuse("its header has " + name) // extensions change the meaning of a token
		}
	}
	if kid, has := h["kid"]; has {
		if t.kid, ok = kid.(string); !ok || len(t.kid) > maxKeyID {
			return refuse("its kid is not a string or is too long")
		}
	}
	if typ, has := h["typ"]; has {
		text, ok := typ.(string)
		if !ok || !slices.Contains(types(), strings.TrimPrefix(strings.ToLower(text), "application/")) {
			return refuse("its typ is for another kind of token")
		}
	}
	return nil
}

// Algorithms returns the signature algorithms that can be accepted. All are asymmetric. With a
// shared secret (HS256), anyone who knows the public key could sign tokens.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}
}

// audiences returns the audiences that are strings.
func (t *unverified) audiences() (all []string) {
	switch aud := t.claims["aud"].(type) {
	case string:
		all = []string{aud}
	case []any:
		for _, one := range aud {
			if text, ok := one.(string); ok {
				all = append(all, text)
			}
		}
	}
	return all
}

// audience checks that the token is for our audience only. Otherwise another service that gets
// the token could present it to Tidewaiter and act as the job. For a token with only other
// audiences, the error is ErrUnknown, because another Provider can have the same issuer and one
// of these audiences.
func (p *Provider) audience(t *unverified) error {
	all := t.audiences()
	if list, ok := t.claims["aud"].([]any); ok && len(all) < len(list) {
		return t.refuse("its audience is not a string")
	}
	if len(all) == 0 {
		return t.refuse("it has no audience")
	}
	ours := 0
	for _, one := range all {
		if slices.Contains(p.o.Audience, one) {
			ours++
		}
	}
	switch {
	case ours == 0:
		return identity.ErrUnknown
	case ours < len(all):
		return t.refuse("it is for other audiences as well: " + shorten(strings.Join(all, ", ")))
	}
	return nil
}

// lifetime checks exp, nbf and iat. It returns the time at which the token expires, according to
// exp or max_age.
func (p *Provider) lifetime(t *unverified) (until time.Time, err error) {
	now := p.o.Now()
	var at [3]time.Time
	for i, name := range []string{"exp", "nbf", "iat"} {
		v, has := t.claims[name]
		if !has {
			continue
		}
		var ok bool
		if at[i], ok = parseDate(v); !ok {
			return until, t.refuse("its " + name + " is not a time")
		}
	}
	expires, begins, issued := at[0], at[1], at[2]
	switch {
	case expires.IsZero():
		return until, t.refuse("it never expires: it has no exp")
	case now.After(expires.Add(leeway)):
		return until, t.refuse("it has expired, at " + formatTime(expires))
	case now.Before(begins.Add(-leeway)):
		return until, t.notYet("it is not valid before (nbf) " + formatTime(begins))
	case now.Before(issued.Add(-leeway)):
		return until, t.notYet("it is issued in the future (iat), at " + formatTime(issued))
	case issued.IsZero() && expires.After(now.Add(p.o.MaxAge+leeway)):
		return until, t.refuse("it has no issue time (iat) and expires later than max_age allows")
	case !issued.IsZero() && now.After(issued.Add(p.o.MaxAge+leeway)):
		return until, t.refuse("it is older than max_age: it was issued at " + formatTime(issued))
	}
	if !issued.IsZero() && issued.Add(p.o.MaxAge).Before(expires) {
		return issued.Add(p.o.MaxAge), nil
	}
	return expires, nil
}

// signature verifies the token with the issuer's keys for its kid.
func (p *Provider) signature(ctx context.Context, t *unverified) error {
	if !slices.Contains(p.o.Algorithms, t.alg) {
		return t.refuse("it is signed by " + t.alg + ", which is not in algorithms")
	}
	candidates, err := p.keys.find(ctx, t.kid, t.alg)
	if err != nil {
		if refused, ok := errors.AsType[*refusal](err); ok {
			return t.notYet(refused.reason)
		}
		return err
	}
	signed, err := jose.ParseSignedCompact(t.raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.alg)})
	if err != nil {
		return t.refuse("it cannot be parsed")
	}
	for _, k := range candidates {
		if payload, err := signed.Verify(k.public); err == nil && string(payload) == string(t.payload) {
			return nil
		}
	}
	if t.kid == "" {
		// The issuer can have a new key. Without a kid, the token does not show whether its key
		// is new. So the token can become valid when the new key is fetched.
		return t.notYet("its signature is wrong")
	}
	return t.refuse("its signature is wrong")
}

func (t *unverified) subject() string {
	subject, _ := t.claims["sub"].(string)
	return shorten(subject)
}

func (t *unverified) refuse(reason string) error {
	return &refusal{reason: reason, subject: t.subject()}
}

// notYet refuses a token that can become valid later.
func (t *unverified) notYet(reason string) error {
	return notYet{&refusal{reason: reason, subject: t.subject()}}
}

// shorten limits the text that an untrusted token adds to the log.
func shorten(s string) string { return text.Shorten(s, 200) }

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
