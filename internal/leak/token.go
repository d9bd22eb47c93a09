package leak

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/scope"
	"github.com/tidewaiter/tidewaiter/token"
)

// extract returns the first credential in a text, and its value without the text around it. It
// also finds a credential that is broken by white space, or encoded in base64 as in docker's
// config.json.
func extract(text string) (found secret.Found, value string, ok bool) {
	joined := strings.Join(strings.Fields(text), "")
	for _, candidate := range append([]string{text, joined}, decoded(text)...) {
		f, has := secret.Find(candidate)
		switch {
		case !has || f.Hidden:
			continue
		case f.Kind == secret.Own:
			value = candidate[f.Begin:f.End]
		default:
			value = compactToken.FindString(candidate[f.Begin:])
		}
		if found, ok = secret.Find(text); !ok {
			found = f
		}
		found.Kind, found.Letter, found.Valid = f.Kind, f.Letter, f.Valid
		return found, value, true
	}
	return found, "", false
}

// compactToken is a JSON Web Token in its compact form.
var compactToken = regexp.MustCompile(`^[\w-]+=*\.[\w-]+=*\.[\w-]*=*`)

// encodedToken matches a text that may be a credential in base64.
var encodedToken = regexp.MustCompile(`[A-Za-z0-9+/_-]{32,}={0,2}`)

func decoded(text string) (list []string) {
	for _, run := range encodedToken.FindAllString(text, 16) {
		run = strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(run)
		if plain, err := base64.RawStdEncoding.DecodeString(run); err == nil {
			list = append(list, string(plain))
		}
	}
	return list
}

// claims are the claims of a token. They are not verified.
type claims struct {
	Issuer   string  `json:"iss"`
	Subject  string  `json:"sub"`
	Audience any     `json:"aud"`
	Expires  float64 `json:"exp"`
	Begins   float64 `json:"nbf"`
	Issued   float64 `json:"iat"`
	ID       string  `json:"jti"`
}

func readClaims(value string) (c claims, ok bool) {
	parts := strings.Split(value, ".")
	if len(parts) != 3 {
		return c, false
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	return c, err == nil && json.Unmarshal(body, &c) == nil
}

// audiences returns the audiences. The claim is a text or a list of texts.
func (c *claims) audiences() (list []string) {
	switch a := c.Audience.(type) {
	case string:
		return []string{a}
	case []any:
		for _, item := range a {
			if s, ok := item.(string); ok {
				list = append(list, s)
			}
		}
	}
	return list
}

// claimTime returns the time of a claim. It returns zero if the claim is missing or out of range.
func claimTime(seconds float64) time.Time {
	if seconds <= 0 || seconds > 1<<36 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// completeSigned completes c for a signed token: a registry's token, or an ID token.
func (f *Finder) completeSigned(ctx context.Context, c *Credential, value string) error {
	own, ok := readClaims(value)
	c.Kind, c.Reason = IDToken, "it is damaged: its claims cannot be read"
	if !ok {
		return nil
	}
	c.Issuer, c.Created, c.Expires = secret.Brief(own.Issuer, 200), claimTime(own.Issued), claimTime(own.Expires)
	for _, root := range f.Roots {
		for _, audience := range own.audiences() {
			if f.signedBy(c, root, &own, audience, value) {
				_, err := f.completeIssued(ctx, c, own.ID)
				return err
			}
		}
	}
	if own.Issuer == f.Issuer {
		c.registryToken()
		c.Reason = "no known root has signed it: a former root signed it, or it is forged or damaged"
		if found, err := f.completeIssued(ctx, c, own.ID); err != nil || found {
			c.Reason = "the journal has the decision with its id, but no known root has signed it: a former root signed it, or it is forged with the id of another token"
			return err
		}
		return nil
	}
	return f.idToken(ctx, c, value)
}

// registryToken sets the kind. Without this call, the token counts as an ID token, because both
// have the same form.
func (c *Credential) registryToken() {
	c.Kind, c.What = RegistryToken, strings.Replace(c.What, "an ID token", "a registry's token", 1)
}

// signedBy completes c if the root has signed the token. The certificates are checked as of the
// time when the token was issued, because they are short-lived.
func (f *Finder) signedBy(c *Credential, root Root, own *claims, audience, value string) bool {
	v, err := token.NewVerifier(token.VerifierOptions{
		Roots: root.Certificate, Issuer: own.Issuer, Audience: audience, KeyIDs: token.KeyIDs(), Leeway: token.Leeway,
	})
	if err != nil {
		return false
	}
	verified, err := v.Verify(value, claimTime(max(own.Issued, own.Begins)))
	if err != nil {
		return false
	}
	c.registryToken()
	c.Known, c.Signer, c.Registry, c.Reason = true, root.Name, audience, ""
	if c.Valid = f.Now.Before(verified.Expires); !c.Valid {
		c.Reason = "it has expired"
	}
	for _, s := range verified.Access {
		c.Access = append(c.Access, s.String())
	}
	return true
}

// completeIssued completes c with the decision that issued a registry's token, and reports whether
// the journal has this decision.
func (f *Finder) completeIssued(ctx context.Context, c *Credential, jti string) (found bool, err error) {
	c.Uses = &Uses{Entries: []Use{}}
	if !journal.IsBeginning(jti) || len(jti) != 36 {
		return false, nil
	}
	e, err := f.Journal.FindOne(ctx, jti)
	if errors.Is(err, journal.ErrNotFound) || err == nil && (e.Decision == nil || e.Decision.Principal == nil) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	d := e.Decision
	c.ID, c.Owner, c.Source, c.Registry, c.Created = e.ID.String(), d.Principal.String(), d.Principal.Source, e.Registry, e.Time
	if c.Expires.IsZero() {
		c.Expires = d.Expires
	}
	if c.Access == nil {
		for _, r := range d.Results {
			if granted := (scope.Scope{Type: r.Asked.Type, Name: r.Asked.Name, Actions: r.Granted}); r.Granted != 0 {
				c.Access = append(c.Access, granted.String())
			}
		}
	}
	related, complete, err := f.Journal.Related(ctx, e)
	if err != nil {
		return true, err
	}
	related = append(related, e)
	slices.SortFunc(related, func(x, y journal.Entry) int { return y.Time.Compare(x.Time) })
	for i := range related {
		c.Uses.add(&related[i])
	}
	if !complete {
		c.Uses.Searched = c.Uses.First
	}
	return true, nil
}

// idToken completes c for a token that no root has signed.
func (f *Finder) idToken(ctx context.Context, c *Credential, value string) error {
	source, who, err := f.IDToken(ctx, identity.NewPresented("", value))
	switch {
	case errors.Is(err, identity.ErrUnknown):
		c.Reason = "Tidewaiter does not accept it: it has another issuer or audience"
		return nil
	case errors.Is(err, identity.ErrRejected):
		c.Source, c.Reason = source, identity.Reason(err)+"; its signature is not valid, or was not verified"
		// Only a token with a valid signature has an ExplainedError.
		if explained, ok := errors.AsType[*identity.ExplainedError](err); ok {
			c.Known, c.Reason = true, explained.Reason
		}
		return nil
	case err != nil:
		c.Source, c.Reason = source, "it cannot be verified now: "+secret.Redact(err.Error())
		return nil
	}
	p := who.Principal
	c.Known, c.Valid, c.Reason, c.Source, c.Owner = true, true, "", source, p.String()
	c.Uses, err = f.searchUses(ctx, journal.Query{Kind: journal.KindDecision, Since: c.Created.Add(-token.Leeway), Who: &journal.Who{Subjects: []string{c.Owner}}, Credential: who.Credential},
		func(e *journal.Entry) bool { return e.Decision.Principal != nil && e.Decision.Principal.ID == p.ID })
	return err
}
