// Package leak identifies leaked credentials. It answers four questions: is a text a credential of
// Tidewaiter, who is its owner, is it still valid, and where was it used?
//
// The text itself is never in a result, an error or a log line. Identifying a credential does not
// count as a use of it.
package leak

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/secret"
)

// Finder identifies credentials.
type Finder struct {
	Credentials *credentials.Credentials // nil: there is no database yet
	// Setup returns the time at which a secret for the first administrator expires. The error is
	// admin.ErrNotFound if there is no such secret.
	Setup func(context.Context, secret.Digest) (expires time.Time, err error)
	// Administered reports whether there is an administrator. If there is an administrator, no
	// secret for the first administrator is accepted.
	Administered func(context.Context) (bool, error)
	// HasSource reports whether the config has the identity source with this name. HasRegistry
	// reports whether the config has the registry with this service.
	HasSource, HasRegistry func(name string) bool

	Journal *journal.Journal
	Issuer  string // the issuer of registry tokens
	Roots   []Root // the current root and former roots
	// IDToken verifies an ID token of a configured issuer without recording a sign-in. The error
	// is identity.ErrUnknown if the token has another issuer or audience.
	IDToken func(context.Context, identity.Presented) (source string, _ identity.Verified, _ error)
	Now     time.Time
	// Enough ends a search of the journal (journal.Journal.Search).
	Enough func(searched int) bool
}

// Root is the certificate of a root.
type Root struct {
	Name        string // "the current root"
	Certificate []byte // in PEM
}

// Kind is the kind of a credential.
type Kind string

// The kinds of credentials.
const (
	Access        Kind = "access"
	Robot         Kind = "robot"
	Refresh       Kind = "refresh"
	Session       Kind = "session"
	Setup         Kind = "setup"    // for the first administrator
	RegistryToken Kind = "registry" // a token that registries accept
	IDToken       Kind = "id_token" // a token of an issuer
	None          Kind = "none"     // the text has no credential that can be recognized
)

// Credential describes the credential in a text.
type Credential struct {
	Kind  Kind   `json:"kind" enum:"access,robot,refresh,session,setup,registry,id_token,none" doc:"What it is: a credential of Tidewaiter, a token for a registry, an ID token, or none that can be recognized. Passwords cannot be recognized"`
	What  string `json:"what" doc:"The kind in words" example:"an access token of Tidewaiter in quotes"`
	Known bool   `json:"known" doc:"Whether it was issued by Tidewaiter, or by an issuer of the config"`
	Valid bool   `json:"valid" doc:"Whether it would be accepted now"`

	Reason string `json:"reason,omitempty" doc:"Why it is not valid, or which check failed"`
	ID     string `json:"id,omitempty" doc:"The id of the token, which can be revoked; for a registry's token, the id of the decision that issued it"`
	Owner  string `json:"owner,omitempty" doc:"The owner" example:"user:alice"`
	Source string `json:"source,omitempty" doc:"The identity source of the owner" example:"accounts"`
	Name   string `json:"name,omitempty" doc:"The name that its owner gave it" example:"laptop"`
	Issuer string `json:"issuer,omitempty" doc:"Of a token: the issuer, according to the token's claims"`
	Signer string `json:"signer,omitempty" doc:"Of a registry's token: which root signed it" example:"the current root"`

	Registry     string                `json:"registry,omitempty" doc:"The registry that accepts it"`
	Restrictions []explain.Restriction `json:"restrictions,omitempty" nullable:"false" doc:"The restrictions on its use"`
	Access       []string              `json:"access,omitempty" nullable:"false" doc:"Of a registry's token: the access that it grants" example:"[\"repository:team/app:pull\"]"`
	Created      time.Time             `json:"created,omitzero" doc:"When it was issued"`
	Expires      time.Time             `json:"expires,omitzero" doc:"When it expires; absent: never, or unknown"`
	Used         time.Time             `json:"used,omitzero" doc:"When it was last used"`
	UsedFrom     string                `json:"used_from,omitempty" doc:"The address of the client that last used it"`
	Uses         *Uses                 `json:"uses,omitempty" doc:"Its uses in the journal"`
}

// Uses are the uses of a credential in the journal.
type Uses struct {
	Count    int       `json:"count" doc:"How many entries were found"`
	First    time.Time `json:"first,omitzero" doc:"The time of the first entry"`
	Last     time.Time `json:"last,omitzero" doc:"The time of the last entry"`
	Searched time.Time `json:"searched,omitzero" doc:"If the search ended early: only the entries from this time on were searched"`
	Entries  []Use     `json:"entries" nullable:"false" doc:"The newest entries"`
	Derived  int       `json:"derived,omitempty" doc:"How many credentials were created with it. Their uses are included, and revoking this credential revokes them, too"`
}

// Use is an entry of the journal.
type Use struct {
	ID      string    `json:"id" doc:"The id of the entry" example:"019aa1b2-c3d4-7e5f-8a6b-9c0d1e2f3a4b"`
	Time    time.Time `json:"time" doc:"When it happened"`
	Summary string    `json:"summary" doc:"The entry in one line"`
}

// maxEntries is the maximum number of Uses.Entries.
const maxEntries = 20

// Identify identifies the credential that a text is or contains. The caller must check that the
// actor has tidewaiter:accounts and tidewaiter:journal.
func (f *Finder) Identify(ctx context.Context, by admin.Actor, s identity.Secret) (Credential, error) {
	found, value, ok := extract(s.Reveal())
	if !ok {
		return Credential{Kind: None, What: "no credential that can be recognized; a password cannot be recognized"}, nil
	}
	c := Credential{What: found.Describe(s.Reveal())}
	switch {
	case found.Kind == secret.Signed:
		err := f.completeSigned(ctx, &c, value)
		return c, err
	case found.Kind != secret.Own:
		c.Kind, c.Reason = None, "Tidewaiter accepts and issues only signed tokens"
		return c, nil
	case !found.Valid:
		c.Kind, c.Reason = letters[found.Letter], "its checksum is wrong: it was mistyped, cut off or invented"
		return c, nil
	}
	letter, digest, _ := secret.Parse(value)
	c.Kind = letters[letter]
	err := f.completeOwn(ctx, by, &c, digest, identity.NewSecret(value))
	return c, err
}

var letters = map[byte]Kind{secret.Access: Access, secret.Robot: Robot, secret.Refresh: Refresh, secret.Session: Session, secret.Setup: Setup}

// ByDigest is Identify for the SHA-256 of a credential of Tidewaiter, in hexadecimal digits.
func (f *Finder) ByDigest(ctx context.Context, by admin.Actor, digits string) (Credential, error) {
	c := Credential{Kind: None, What: "the digest of a secret"}
	var d secret.Digest
	if n, err := hex.Decode(d[:], []byte(digits)); err != nil || n != len(d) {
		return c, errors.New("a digest is a SHA-256, which has 64 hexadecimal digits")
	}
	err := f.completeOwn(ctx, by, &c, d, identity.Secret{})
	return c, err
}

// ByID is Identify for the id of a token, or of the decision that issued a registry's token (jti).
// The error is admin.ErrNotFound if nothing has the id.
func (f *Finder) ByID(ctx context.Context, by admin.Actor, id string) (c Credential, err error) {
	var t credentials.Token
	err = error(&admin.NotFoundError{Kind: "token", Name: id})
	if f.Credentials != nil {
		t, err = f.Credentials.Token(ctx, by, id)
	}
	if !errors.Is(err, admin.ErrNotFound) {
		if err == nil {
			c = Credential{Kind: Kind(t.Purpose), What: "the id of a credential"}
			err = f.completeStored(ctx, by, &c, &t, identity.Secret{})
		}
		return c, err
	}
	c = Credential{Kind: RegistryToken, What: "the id of a registry's token"}
	if found, failed := f.completeIssued(ctx, &c, id); found || failed != nil {
		c.Valid = failed == nil && f.Now.Before(c.Expires)
		if !c.Valid {
			c.Reason = "it has expired"
		}
		return c, failed
	}
	return c, err
}

// completeOwn completes c for a credential of Tidewaiter. The secret is optional.
func (f *Finder) completeOwn(ctx context.Context, by admin.Actor, c *Credential, d secret.Digest, s identity.Secret) error {
	c.Reason = "no credential with this value is stored: it was revoked, expired long ago, or belongs to another installation"
	if f.Credentials == nil {
		return nil
	}
	if c.Kind == Setup || c.Kind == None {
		expires, err := f.Setup(ctx, d)
		if !errors.Is(err, admin.ErrNotFound) {
			c.Kind, c.Known, c.Expires = Setup, err == nil, expires
			if err == nil {
				c.Reason, err = f.unusableSetup(ctx, expires)
			}
			c.Valid = err == nil && c.Reason == ""
			return err
		}
	}
	t, err := f.Credentials.TokenOf(ctx, by, d)
	if errors.Is(err, admin.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.completeStored(ctx, by, c, &t, s)
}

// completeStored completes c for a stored token.
func (f *Finder) completeStored(ctx context.Context, by admin.Actor, c *Credential, t *credentials.Token, s identity.Secret) error {
	reason, err := f.Credentials.Invalid(ctx, t, s)
	if err != nil {
		reason = "checking whether it is valid failed: " + secret.Redact(err.Error())
	}
	if missing := f.configProblem(t); missing != "" && (reason == "" || t.Owner.Source != admin.AccountsSource && !f.HasSource(t.Owner.Source)) {
		reason = missing
	}
	c.Kind, c.Known, c.Valid, c.Reason = Kind(t.Purpose), true, reason == "", reason
	c.ID, c.Owner, c.Source, c.Name = t.ID, t.Owner.Kind.String()+":"+t.Owner.Name, t.Owner.Source, t.Name
	c.Registry, c.Restrictions, c.Created, c.Expires, c.Used = t.Registry, explain.NewRestrictions(t.Limits), t.Created, t.Expires, t.Used
	if t.From.IsValid() {
		c.UsedFrom = t.From.String()
	}
	names := map[string]bool{t.Credential(): true}
	derived, err := f.findDerived(ctx, by, t)
	for _, d := range derived {
		names[d.Credential()] = true
	}
	q := journal.Query{Kind: journal.KindDecision, Since: t.Created, Who: &journal.Who{Subjects: []string{c.Owner}}}
	if len(derived) == 0 {
		q.Credential = t.Credential()
	}
	if err == nil {
		c.Uses, err = f.searchUses(ctx, q,
			func(e *journal.Entry) bool {
				p := e.Decision.Principal
				return p != nil && p.ID == t.Owner.ID && names[e.Decision.Credential]
			})
	}
	if err == nil {
		c.Uses.Derived = len(derived)
	}
	return err
}

// configProblem returns the reason why the config of the service accepts no credential like t. The
// reason does not depend on the state of t or its owner. It returns "" if the config accepts such
// credentials.
func (f *Finder) configProblem(t *credentials.Token) string {
	const again = "; it would be valid again with that entry"
	switch {
	case !f.HasSource(admin.AccountsSource):
		return `no credential of Tidewaiter can sign in: the config has no "accounts: {}" under identity` + again
	case !f.HasSource(t.Owner.Source):
		return "the config no longer has the identity source of its owner, " + t.Owner.Source + again
	case t.Registry != "" && !f.HasRegistry(t.Registry):
		return "the config no longer has the registry that it is for, " + t.Registry + again
	}
	return ""
}

// unusableSetup returns the reason why a secret for the first administrator is not accepted. It
// returns "" if the secret is accepted.
func (f *Finder) unusableSetup(ctx context.Context, expires time.Time) (reason string, err error) {
	if !f.Now.Before(expires) {
		return "it has expired", nil
	}
	there, err := f.Administered(ctx)
	if there {
		reason = "there is an administrator already, and it can only create the first one"
	}
	return reason, err
}

// findDerived returns the credentials that were created with a token, directly or through other
// derived credentials.
func (f *Finder) findDerived(ctx context.Context, by admin.Actor, t *credentials.Token) (found []credentials.Token, err error) {
	family := map[string]bool{t.ID: true}
	for page := (admin.Page{Limit: 1000}); ; {
		list, next, err := f.Credentials.Tokens(ctx, by, t.Owner, page)
		if err != nil {
			return nil, err
		}
		for _, other := range list { // in the order of their creation
			if family[other.Parent] {
				family[other.ID] = true
				found = append(found, other)
			}
		}
		if page.After = next; next == "" {
			return found, nil
		}
	}
}

// searchUses searches the journal for the uses of a credential.
func (f *Finder) searchUses(ctx context.Context, q journal.Query, matches func(*journal.Entry) bool) (*Uses, error) {
	u := &Uses{Entries: []Use{}}
	for before := journal.Position(0); ; {
		page, err := f.Journal.Search(ctx, q, before, 1000, f.Enough)
		if err != nil {
			return nil, err
		}
		for i := range page.Entries {
			if e := &page.Entries[i]; matches(e) {
				u.add(e)
			}
		}
		if before = page.Next; before == 0 {
			return u, nil
		}
		if f.Enough(len(page.Entries)) {
			u.Searched = page.Searched
			return u, nil
		}
	}
}

// add adds an entry. The entries come in the order of the journal, the newest first.
func (u *Uses) add(e *journal.Entry) {
	// An entry for equal refusals has the time of the first refusal, but is written later. So the
	// entries are not in the order of their times.
	if u.Count++; u.Count == 1 {
		u.First, u.Last = e.Time, e.Time
	}
	if e.Time.Before(u.First) {
		u.First = e.Time
	}
	if last := lastTime(e); last.After(u.Last) {
		u.Last = last
	}
	if len(u.Entries) < maxEntries {
		u.Entries = append(u.Entries, Use{e.ID.String(), e.Time, e.Summary()})
	}
}

// lastTime returns the time of an entry. For an entry that stands for equal refusals, it returns
// the time of the last refusal.
func lastTime(e *journal.Entry) time.Time {
	if e.Decision != nil && e.Decision.Repeats != nil && e.Decision.Repeats.Last.After(e.Time) {
		return e.Decision.Repeats.Last
	}
	return e.Time
}
