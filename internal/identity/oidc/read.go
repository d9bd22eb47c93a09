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

// The bounds of a token's parts: real headers have a hundred bytes, a Kubernetes claim four
// levels.
const (
	maxHeader = 4 << 10 // bytes of base64
	maxKeyID  = 512     // bytes
	maxDepth  = 8       // of nested objects and lists
)

// unverified is a token that was read. Nothing of it is true yet.
type unverified struct {
	raw     string
	alg     string
	kid     string
	payload []byte
	claims  map[string]any // texts, json.Numbers, bools, nils, []any and map[string]any
}

// types are what a header may say that a token is, if it says anything. Access tokens (at+jwt),
// logout tokens and others have types of their own, so that they are not taken for ID tokens.
func types() []string { return []string{"jwt", "jose"} }

// trim takes away white space that a shell or a file has left around a token.
func trim(secret string) string { return strings.TrimSpace(secret) }

// read takes a token apart. Of the header it reads what is needed to choose a key, and nothing
// that would let the token choose its own.
func read(raw string) (*unverified, error) {
	if len(raw) > identity.MaxToken {
		return nil, &refusal{reason: "it is too long"}
	}
	if strings.Count(raw, ".") != 2 {
		return nil, &refusal{reason: "it has not three parts"}
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

// decodePart reads an object in base64url, which is not taken in any other spelling.
func decodePart(part string) ([]byte, map[string]any, error) {
	if strings.ContainsAny(part, "\r\n") { // which the decoder passes over
		return nil, nil, fmt.Errorf("it has a line end in it")
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, nil, fmt.Errorf("it is no base64url")
	}
	object, err := strictjson.Object(text, maxDepth)
	return text, object, err
}

func (t *unverified) header(h map[string]any) error {
	subject, _ := t.claims["sub"].(string)
	no := func(reason string) error { return &refusal{reason: reason, subject: subject} }
	var ok bool
	if t.alg, ok = h["alg"].(string); !ok || !slices.Contains(Algorithms(), t.alg) {
		return no("it is not signed by one of " + strings.Join(Algorithms(), ", "))
	}
	for _, name := range []string{"crit", "b64", "enc", "zip"} {
		if _, ok := h[name]; ok {
			return no("its header has " + name) // extensions that change what a token means
		}
	}
	if kid, has := h["kid"]; has {
		if t.kid, ok = kid.(string); !ok || len(t.kid) > maxKeyID {
			return no("its kid is no text, or too long")
		}
	}
	if typ, has := h["typ"]; has {
		text, ok := typ.(string)
		if !ok || !slices.Contains(types(), strings.TrimPrefix(strings.ToLower(text), "application/")) {
			return no("its typ is that of another kind of token")
		}
	}
	return nil
}

// Algorithms are those of signatures that can be accepted: asymmetric ones only. With a shared
// secret (HS256), whoever knows the public key could sign.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}
}

// audiences returns whom the token is for, as far as they are texts.
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

// audience checks that the token is for us alone. Another service that a token is for as well
// could show it here, and be taken for the job. A token for others is another Provider's, perhaps,
// and ErrUnknown: one issuer may have several, each with its own audience.
func (p *Provider) audience(t *unverified) error {
	all := t.audiences()
	if list, ok := t.claims["aud"].([]any); ok && len(all) < len(list) {
		return t.no("its audience is no text")
	}
	if len(all) == 0 {
		return t.no("it has no audience")
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
		return t.no("it is for others as well: " + shorten(strings.Join(all, ", ")))
	}
	return nil
}

// lifetime checks exp, nbf and iat. It returns when the token ends, by itself or by its age.
func (p *Provider) lifetime(t *unverified) (until time.Time, err error) {
	now := p.o.Now()
	var at [3]time.Time
	for i, name := range []string{"exp", "nbf", "iat"} {
		v, has := t.claims[name]
		if !has {
			continue
		}
		var ok bool
		if at[i], ok = date(v); !ok {
			return until, t.no("its " + name + " is no time")
		}
	}
	expires, begins, issued := at[0], at[1], at[2]
	switch {
	case expires.IsZero():
		return until, t.no("it never expires: it has no exp")
	case now.After(expires.Add(leeway)):
		return until, t.no("it has expired, at " + formatTime(expires))
	case now.Before(begins.Add(-leeway)):
		return until, t.notYet("it begins later (nbf), at " + formatTime(begins))
	case now.Before(issued.Add(-leeway)):
		return until, t.notYet("it is issued later (iat), at " + formatTime(issued))
	case issued.IsZero() && expires.After(now.Add(p.o.MaxAge+leeway)):
		return until, t.no("it does not say when it was issued (iat), and lives for longer than max_age")
	case !issued.IsZero() && now.After(issued.Add(p.o.MaxAge+leeway)):
		return until, t.no("it is older than max_age: it was issued at " + formatTime(issued))
	}
	if !issued.IsZero() && issued.Add(p.o.MaxAge).Before(expires) {
		return issued.Add(p.o.MaxAge), nil
	}
	return expires, nil
}

// signature verifies the token with the keys that the issuer has under its key id.
func (p *Provider) signature(ctx context.Context, t *unverified) error {
	if !slices.Contains(p.o.Algorithms, t.alg) {
		return t.no("it is signed by " + t.alg + ", which is not among the algorithms")
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
		return t.no("it cannot be read")
	}
	for _, k := range candidates {
		if payload, err := signed.Verify(k.public); err == nil && string(payload) == string(t.payload) {
			return nil
		}
	}
	if t.kid == "" {
		return t.notYet("its signature is wrong") // the issuer may have a new key, and nothing says that it is another
	}
	return t.no("its signature is wrong")
}

func (t *unverified) subject() string {
	subject, _ := t.claims["sub"].(string)
	return shorten(subject)
}

func (t *unverified) no(reason string) error { return &refusal{reason: reason, subject: t.subject()} }

// notYet refuses a token that may hold later.
func (t *unverified) notYet(reason string) error {
	return notYet{&refusal{reason: reason, subject: t.subject()}}
}

// shorten bounds what a stranger can put into the log.
func shorten(s string) string { return text.Shorten(s, 200) }

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
