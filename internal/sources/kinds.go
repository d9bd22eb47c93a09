package sources

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/dn"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/anyone"
	"github.com/tidewaiter/tidewaiter/internal/identity/hook"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/internal/identity/setting"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// sourceKind is a row of the table sourceKinds.
type sourceKind struct {
	remote bool // asked only if no local source knows the name
	// The source has its own names, which are not in the accounts. No account may have such a
	// name.
	ownNames bool
	build    func(*builder, *Source) error // errors with positions are strictyaml.Problems
}

// sourceKinds has the kinds of sources, by config key.
var sourceKinds = map[string]sourceKind{
	"accounts": {false, false, (*builder).accounts},
	"anyone":   {false, false, (*builder).anyone},
	"exec":     {true, true, (*builder).hook},
	"htpasswd": {false, true, (*builder).htpasswd},
	"ldap":     {true, true, (*builder).ldap},
	"oidc":     {true, true, (*builder).oidc},
	"webhook":  {true, true, (*builder).hook},
}

// builder builds the sources of one config.
type builder struct {
	Options
	cfg *config.Config
	set *Set // the sources that are already built
}

const anyType = when.Text | when.Number | when.Bool | when.Null | when.List | when.Object

func (b *builder) accounts(s *Source) error {
	s.Authenticator, s.Kinds = storedAccounts{b.Accounts}, accounts.Kinds()
	s.Run = func(ctx context.Context) { _ = b.Accounts().Credentials.Run(ctx) }
	return nil
}

func (b *builder) anyone(s *Source) error {
	s.Authenticator, s.Kinds = anyone.New(b.Log), anyone.Kinds()
	return nil
}

func (b *builder) htpasswd(s *Source) error {
	c := s.Config.HTPasswd
	o := htpasswd.Options{
		Name: c.Name, File: c.File, Entries: c.Entries, Groups: c.Groups, Claims: c.Claims,
		Hashing: b.Hashing, Log: b.Log, Now: b.Now,
	}
	for _, before := range b.Before.Sources {
		if f, ok := before.Authenticator.(*htpasswd.File); ok && f.Path() == c.File {
			o.Before = f
		}
	}
	file, err := htpasswd.New(o)
	if problems, ok := errors.AsType[htpasswd.Problems](err); ok {
		return b.placedLines(c, problems)
	}
	if err != nil {
		return err
	}
	s.Authenticator = file
	s.Run = func(ctx context.Context) { _ = file.Run(ctx) }
	var groups []string
	for group := range c.Groups {
		groups = append(groups, dn.Canonical(group))
	}
	slices.Sort(groups)
	s.mayHave = func(prefix, name string) (bool, string) {
		if prefix != "group" {
			return false, ""
		}
		return slices.Contains(groups, dn.Canonical(name)), text.Nearest(name, groups)
	}
	s.claim = func(name string) when.Kinds {
		for _, claims := range c.Claims {
			if _, has := claims[name]; has {
				return when.List
			}
		}
		return 0
	}
	return nil
}

// placedLines adds positions to problems of an htpasswd source: in its file, or in the config.
func (b *builder) placedLines(c *config.HTPasswd, problems htpasswd.Problems) strictyaml.Problems {
	placed := make(strictyaml.Problems, len(problems))
	for i, p := range problems {
		at := strictyaml.Problem{File: p.File, Line: p.Line, Text: p.Text, Suggestion: p.Suggestion}
		switch {
		case p.Claims != "":
			at.File, at.Text = b.cfg.File, fmt.Sprintf("the claims of %q: %s", p.Claims, p.Text)
			at.Line, at.Column = c.Place("claims", p.Claims)
		case p.Group != "":
			at.File, at.Text = b.cfg.File, fmt.Sprintf("the group %q: %s", p.Group, p.Text)
			at.Line, at.Column = c.Place("groups", p.Group, slices.Index(c.Groups[p.Group], p.Member))
		case p.File == "":
			at.File, at.Text = b.cfg.File, fmt.Sprintf("entry %d: %s", p.Line, p.Text)
			at.Line, at.Column = c.Place("entries", p.Line-1)
		}
		placed[i] = at
	}
	return placed
}

func (b *builder) ldap(s *Source) error {
	c := s.Config.LDAP
	o := ldap.Options{
		Name: c.Name, Servers: c.Servers, CA: c.CA, StartTLS: c.StartTLS, Plain: c.Plain,
		BindDN: c.BindDN, BindPasswordFile: c.BindPasswordFile,
		User: ldap.User{
			DN: c.User.DN, Bind: c.User.Bind, Domain: c.User.Domain, Bases: c.User.Bases, Filter: c.User.Filter, Scope: ldap.Scope(c.User.Scope),
			NameAttribute: c.User.NameAttribute, Lowercase: c.User.Lowercase, IDAttribute: c.User.IDAttribute, Attributes: c.User.Attributes,
		},
		Groups: ldap.Groups{
			MemberOf: c.Groups.MemberOf, Bases: c.Groups.Bases, Filter: c.Groups.Filter,
			NameAttribute: c.Groups.NameAttribute, Nested: ldap.Nested(c.Groups.Nested),
		},
		Timeout: c.Timeout, Pool: c.Pool, Cache: c.Cache, Log: b.Log, Now: b.Now,
		Taken: func(ctx context.Context, name string) (bool, error) { return b.set.takenBefore(ctx, s, name) },
	}
	if b.Budget != nil {
		o.Budget = b.Budget(c)
	}
	directory, err := ldap.New(o)
	if err != nil {
		return b.addPositions(c, err)
	}
	s.Authenticator, s.Run = directory, directory.Run
	if c.User.Bind != "" {
		s.noLookup = errNoLookup
	}
	s.claim = func(name string) when.Kinds {
		for _, claim := range c.User.Attributes {
			if claim == name {
				return when.Text | when.List // one value, or several
			}
		}
		return 0
	}
	return nil
}

// takenBefore reports whether the name is known to a source that is asked before the given
// source. All local sources are asked before the given source. Remote sources are asked before it
// if they are above it in the config. Only sources that check passwords count.
func (s *Set) takenBefore(ctx context.Context, source *Source, name string) (bool, error) {
	above := true
	for _, other := range s.Sources {
		if other == source {
			above = false
			continue
		}
		finder, ok := other.Authenticator.(identity.Finder)
		if !ok || other.Remote && !above || len(other.Kinds) > 0 && !slices.Contains(other.Kinds, identity.Password) {
			continue
		}
		has, err := identity.Has(ctx, finder, name)
		if err != nil {
			return false, fmt.Errorf("asking %s: %w", other.Name, err)
		}
		if has {
			return true, nil
		}
	}
	return false, nil
}

func (b *builder) oidc(s *Source) error {
	c := s.Config.OIDC
	kind := policy.Workload
	if c.Kind == "user" {
		kind = policy.User
	}
	provider, err := oidc.New(oidc.Options{
		Name: c.Name, Preset: oidc.Preset(c.Preset), Issuer: c.Issuer, Audience: c.Audience,
		JWKSURL: c.JWKSURL, JWKSFile: c.JWKSFile, CA: c.CA, TokenFile: c.TokenFile,
		Algorithms: c.Algorithms, MaxAge: c.MaxAge, Reserved: []string{admin.Administrators, admin.Auditors},
		Kind: kind, Principal: c.Principal, Groups: c.Groups, Claims: c.Claims, Require: c.Require,
		Log: b.Log, Now: b.Now,
	})
	if err != nil {
		return b.addPositions(c, err)
	}
	for _, before := range b.Before.Sources {
		if before.provider != nil {
			provider.Inherit(before.provider)
		}
	}
	s.provider, s.Authenticator, s.Run, s.Kinds = provider, provider, provider.Run, []identity.Kind{identity.IDToken}
	if warnings := provider.Warnings(); len(warnings) > 0 {
		errors.As(b.addPositions(c, warnings), &s.Warnings)
	}
	if kind == policy.User && c.AccessTokensAfterSignIn > 0 && b.cfg.Accounts() != nil {
		s.Authenticator = userProvider{provider, s.Name, b.Accounts}
		s.SignIns = SignIns{c.AccessTokensAfterSignIn, settingsID(c)}
	}
	s.noLookup = errNoList
	s.mayHave = func(subject, name string) (bool, string) {
		longer := provider.Begins() + name
		switch {
		case subject == "group" && provider.MightBeIn(name), subject != "group" && subject == kind.String() && provider.MightBe(kind, name):
			return true, ""
		case subject == "group" && provider.MightBeIn(longer):
			return false, longer
		case subject == "workload" && provider.MightBe(kind, longer):
			return false, "workload:" + longer
		}
		return false, ""
	}
	s.claim = func(name string) when.Kinds {
		switch kept, typ := provider.Claim(name); {
		case !kept:
			return 0
		case typ == "text":
			return when.Text
		case typ == "number":
			return when.Number
		}
		return anyType
	}
	return nil
}

// settingsID returns a text that identifies the settings that affect sign-ins: who may sign in,
// and with which name, groups and claims. If one of these settings changes, the text changes. The
// lifetime of access tokens is not one of these settings.
func settingsID(c *config.OIDC) string {
	// Marshal cannot fail, because the settings are texts, lists of texts and maps of texts.
	text, _ := json.Marshal([]any{c.Preset, c.Issuer, c.Audience, c.Kind, c.Principal, c.Groups, c.Claims, c.Require})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func (b *builder) hook(s *Source) error {
	h, err := b.newHook(s.Config.Hook())
	if err != nil {
		return err
	}
	s.Authenticator = h
	if !s.Config.Hook().Find {
		s.noLookup = errNoLookup
	}
	s.claim = func(string) when.Kinds { return anyType }
	return nil
}

// Authorizer builds the authorizer of a config, or returns nil if the config has no authorizer.
// The type of the error is strictyaml.Problems.
func Authorizer(cfg *config.Config, o Options) (*hook.Hook, error) {
	if cfg.Authorizer == nil {
		return nil, nil
	}
	b := &builder{Options: o, cfg: cfg}
	return b.newHook(cfg.Authorizer)
}

func (b *builder) newHook(c *config.Hook) (*hook.Hook, error) {
	h, err := hook.New(hook.Options{
		Name: c.Name, URL: c.URL, Command: c.Command, Environment: c.Environment,
		CA: c.CA, Certificate: c.Certificate, Key: c.Key, BearerFile: c.BearerFile,
		Timeout: c.Timeout, MaxConcurrent: c.MaxConcurrent, Find: c.Find, Groups: c.Groups, Replace: c.Replace, Log: b.Log, Now: b.Now,
	})
	if err != nil {
		return nil, b.addPositions(c, err)
	}
	return h, nil
}

// addPositions adds positions in the config to the setting.Problems of a source.
func (b *builder) addPositions(c interface {
	Place(setting string, in ...any) (line, column int)
}, err error) error {
	problems, ok := errors.AsType[setting.Problems](err)
	if !ok {
		return err
	}
	placed := make(strictyaml.Problems, len(problems))
	for i, p := range problems {
		placed[i] = strictyaml.Problem{File: b.cfg.File, Text: p.Field[strings.LastIndexByte(p.Field, '.')+1:] + ": " + p.Text}
		placed[i].Line, placed[i].Column = c.Place(p.Field, p.Item)
	}
	return placed
}
