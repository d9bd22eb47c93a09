// Package sources builds the identity sources of a config from the entries of `identity`. It also
// knows which names each source can have.
//
// The table sourceKinds has a row for each kind of source.
package sources

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// Options are the objects that the sources of a process share. The zero value is for checks and
// lookups without a running service.
type Options struct {
	// Accounts returns the accounts, or nil if there is no database. It is called when a request
	// needs the accounts for the first time. The accounts are opened after the sources are built,
	// so that an invalid config does not create a database. If Accounts is nil, there is no
	// database.
	Accounts func() *accounts.Accounts

	Hashing *password.Hashing                       // nil: a new one
	Limiter *ratelimit.Limiter                      // rate limits of the chain; nil: none
	Budget  func(of *config.LDAP) *ratelimit.Budget // nil: no budgets
	Log     *slog.Logger                            // nil: no log
	Now     func() time.Time                        // nil: time.Now

	// Before is the set of the previous config, or nil. The new set takes over the keys of the
	// previous set's issuers, and compares the previous set's password files with the new files.
	Before *Set
	// GiveUp means that Elsewhere does not ask a source again after an outage.
	GiveUp bool
}

// Set has the sources of a config.
type Set struct {
	Chain   *chain.Chain
	Sources []*Source // in the order of the config
}

// Source is an identity source of a config.
type Source struct {
	identity.Source
	Config   config.Source
	Run      func(context.Context) // periodic work until the context ends; may be nil
	Warnings strictyaml.Problems
	SignIns  SignIns

	err      error           // not nil if the settings are invalid
	finder   identity.Finder // looks up names for Elsewhere
	noLookup error           // the reason why names cannot be looked up; nil: they can

	provider *oidc.Provider // nil: a source of another kind

	// mayHave reports whether the subject of a rule can be in the source, and returns the most
	// similar subject that can be in the source. The argument prefix is "group", "user", "robot"
	// or "workload". If mayHave is nil, the source can have any subject.
	mayHave func(prefix, name string) (ok bool, similar string)
	claim   func(name string) when.Kinds // the types of a claim; nil: no claims
}

// SignIns are the settings for the access tokens of users whose sign-ins are stored.
type SignIns struct {
	Lifetime time.Duration // validity of access tokens after a sign-in; 0: no tokens
	Settings string        // the result of settingsID
}

// Build builds the sources of a config. The error is a strictyaml.Problems with all problems. The
// set is usable even after an error. A lookup in an invalid source returns the error of this
// source.
func Build(cfg *config.Config, o Options) (*Set, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Now = clock.Wall(o.Now)
	if o.Hashing == nil {
		o.Hashing = password.New(password.Options{})
	}
	if o.Accounts == nil {
		o.Accounts = func() *accounts.Accounts { return nil }
	}
	if o.Before == nil {
		o.Before = new(Set)
	}
	b := &builder{o, cfg, new(Set)}
	var wrong strictyaml.Problems
	var all []identity.Source
	for _, c := range cfg.Identity {
		k := sourceKinds[c.Kind]
		s := &Source{Source: identity.Source{Name: c.Name(), Remote: k.remote}, Config: c}
		if s.err = k.build(b, s); s.err != nil {
			problems, placed := errors.AsType[strictyaml.Problems](s.err)
			if !placed {
				problems = strictyaml.Problems{{File: cfg.File, Line: c.Line, Text: s.err.Error()}}
			}
			wrong = append(wrong, problems...)
			s.Authenticator = invalidSource{s.err}
		}
		if s.finder, _ = s.Authenticator.(identity.Finder); o.GiveUp && s.finder != nil {
			s.finder = &onceFinder{Finder: s.finder}
		}
		b.set.Sources = append(b.set.Sources, s)
		all = append(all, s.Source)
	}
	b.set.Chain = chain.New(chain.Options{
		Sources: all, Limiter: o.Limiter,
		Dummy: func(ctx context.Context, c identity.Presented) error {
			return o.Hashing.DummyFor(ctx, password.Requester{Name: c.Name, Address: c.CountedAt(), KnownPlace: c.KnownPlace}, "", c.Secret.Reveal())
		},
	})
	if len(wrong) > 0 {
		return b.set, wrong
	}
	return b.set, nil
}

// Find looks up a principal by name. It asks the sources in the same order as a token request
// does. It returns the errors of chain.Chain.Find.
func (s *Set) Find(ctx context.Context, name string) (*policy.Principal, error) {
	if strings.HasPrefix(name, accounts.RobotPrefix) {
		return s.Chain.FindIn(ctx, accounts.Source, name, "") // only accounts know robots
	}
	return s.Chain.Find(ctx, name, "")
}

// Named returns the source with the given name, or nil.
func (s *Set) Named(name string) *Source {
	for _, source := range s.Sources {
		if source.Name == name {
			return source
		}
	}
	return nil
}

// MayHave reports whether a principal can match the subject of a rule, such as "group:dev". If the
// settings of the sources do not determine this, the result is true. If no principal can match,
// the second result is the likely correction, or "".
func (s *Set) MayHave(subject string) (ok bool, meant string) {
	prefix, name, _ := strings.Cut(subject, ":")
	if len(s.Sources) == 0 || prefix != "group" && prefix != "workload" && prefix != "robot" {
		return true, ""
	}
	for _, source := range s.Sources {
		if source.err != nil || source.mayHave == nil {
			return true, ""
		}
		ok, similar := source.mayHave(prefix, name)
		if ok {
			return true, ""
		}
		meant = cmp.Or(meant, similar)
	}
	return false, meant
}

// Claim returns the types that a claim can have, or 0 if no source provides the claim. If
// the settings of the sources do not determine the types, Claim returns false.
func (s *Set) Claim(name string) (types when.Kinds, known bool) {
	for _, source := range s.Sources {
		if source.err != nil {
			return 0, false
		}
		if source.claim != nil {
			types |= source.claim(name)
		}
	}
	return types, len(s.Sources) > 0
}

// invalidSource is a source whose settings are invalid.
type invalidSource struct{ err error }

func (i invalidSource) Authenticate(context.Context, identity.Presented) (identity.Verified, error) {
	return identity.Verified{}, i.err
}

func (i invalidSource) Find(context.Context, string, string) (*policy.Principal, error) {
	return nil, i.err
}
