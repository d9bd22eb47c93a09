// Package identitytest is a conformance suite for identity sources. It also has a Fake source
// that passes the suite, for the tests of other packages.
package identitytest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/chain"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Subject is a source under test.
type Subject struct {
	Source  identity.Authenticator
	Kind    identity.Kind   // kind of the source's credentials
	Also    []identity.Kind // other kinds that the source treats in the same way
	Name    string          // a user that the source knows
	Secret  string          // the secret of that user
	Unknown string          // an unknown name; "": the source accepts every name and secret
	Hidden  bool            // the source cannot find users without a secret
	Break   func()          // makes the source fail; called at the end; nil: the source cannot fail
}

// Run tests that a source satisfies the contract of identity.Authenticator, and of Finder and
// Dummy if it implements them.
func Run(t *testing.T, s Subject) {
	show := func(name, secret string) identity.Presented {
		return identity.Presented{Kind: s.Kind, Name: name, Secret: identity.NewSecret(secret)}
	}
	authenticate := func(t *testing.T, name, secret string) (*policy.Principal, error) {
		t.Helper()
		v, err := s.Source.Authenticate(t.Context(), show(name, secret))
		if err == nil && v.Principal == nil || err != nil && v.Principal != nil {
			t.Errorf("Authenticate(%q) returned the principal %v and the error %v, want exactly one", name, v.Principal, err)
		}
		return v.Principal, err
	}
	known, err := authenticate(t, s.Name, s.Secret)
	if err != nil {
		t.Fatalf("the right secret of %q: %v", s.Name, err)
	}

	t.Run("a principal has kind, name, source and id", func(t *testing.T) {
		if known.Kind == policy.Anonymous || known.Name == "" || known.Source == "" || known.ID == "" {
			t.Errorf("%+v lacks its kind, name, source or id", known)
		}
	})
	t.Run("two sign-ins return the same principal", func(t *testing.T) {
		again, err := authenticate(t, s.Name, s.Secret)
		if diff := cmp.Diff(known, again); err != nil || diff != "" {
			t.Errorf("the second sign-in: %v %s", err, diff)
		}
	})
	t.Run("the credential does not contain the secret", func(t *testing.T) {
		v, _ := s.Source.Authenticate(t.Context(), show(s.Name, s.Secret))
		if v.Credential == "" || strings.Contains(v.Credential, s.Secret) {
			t.Errorf("the credential is called %q", v.Credential)
		}
	})
	t.Run("Authenticate may be called concurrently", func(t *testing.T) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if v, err := s.Source.Authenticate(t.Context(), show(s.Name, s.Secret)); err != nil || v.Principal.ID != known.ID {
					t.Errorf("concurrently: %v, %v", v.Principal, err)
				}
			})
		}
		all.Wait()
	})
	t.Run("empty secrets and secrets with NUL are refused", func(t *testing.T) {
		for _, secret := range []string{"", "\x00", s.Secret + "\x00", "\x00" + s.Secret} {
			if _, err := authenticate(t, s.Name, secret); s.Unknown == "" && secret != "" {
				continue
			} else if !errors.Is(err, identity.ErrRejected) && !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("the secret %q: %v, want a refusal", secret, err)
			}
		}
	})
	t.Run("a token is not a password", func(t *testing.T) {
		const token = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"
		for _, secret := range []string{token, `"` + token + `"`, "Bearer " + token, `{"value":"` + token + `"}`} {
			if _, err := authenticate(t, s.Name, secret); s.Unknown != "" && !errors.Is(err, identity.ErrRejected) {
				t.Errorf("%s: %v, want %v", secret, err, identity.ErrRejected)
			}
		}
	})
	t.Run("other kinds of credentials are refused", func(t *testing.T) {
		for _, kind := range []identity.Kind{identity.None, identity.Password, identity.IDToken, identity.AccessToken, identity.RefreshToken} {
			if kind == s.Kind || slices.Contains(s.Also, kind) {
				continue
			}
			c := show(s.Name, s.Secret)
			c.Kind = kind
			if _, err := s.Source.Authenticate(t.Context(), c); !errors.Is(err, identity.ErrUnknown) && !errors.Is(err, identity.ErrRejected) {
				t.Errorf("the kind %d: %v, want a refusal", kind, err)
			}
		}
	})
	t.Run("a principal has one spelling of its name", func(t *testing.T) {
		for _, name := range []string{strings.ToUpper(s.Name), " " + s.Name, s.Name + " ", s.Name + "\x00", s.Name + "\n"} {
			if p, err := authenticate(t, name, s.Secret); err == nil && p.ID == known.ID && p.Name != known.Name {
				t.Errorf("%q is the principal of %q with another name, %q", name, s.Name, p.Name)
			}
		}
	})
	if s.Unknown != "" {
		refuse(t, s)
	}
	if finder, ok := s.Source.(identity.Finder); ok {
		find(t, s, known, finder)
	}
	t.Run("a cancelled call is not a refusal", func(t *testing.T) {
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Source.Authenticate(gone, show(s.Name, s.Secret))
		if errors.Is(err, identity.ErrUnknown) || errors.Is(err, identity.ErrRejected) {
			t.Errorf("%v: this refuses a valid secret", err)
		}
	})
	if s.Break != nil {
		t.Run("an outage is not a refusal", func(t *testing.T) {
			s.Break()
			if _, err := authenticate(t, s.Name, s.Secret+"x"); err == nil || errors.Is(err, identity.ErrUnknown) || errors.Is(err, identity.ErrRejected) {
				t.Errorf("a failed source returned %v", err)
			}
		})
	}
}

// refuse tests the refusals of a source that knows only some names.
func refuse(t *testing.T, s Subject) {
	ask := func(name, secret string) error {
		_, err := s.Source.Authenticate(t.Context(), identity.Presented{Kind: s.Kind, Name: name, Secret: identity.NewSecret(secret)})
		return err
	}
	t.Run("a wrong secret is rejected", func(t *testing.T) {
		for _, secret := range []string{s.Secret + "x", s.Secret[1:], strings.ToUpper(s.Secret) + "X", s.Secret + strings.Repeat("x", 100)} {
			if err := ask(s.Name, secret); !errors.Is(err, identity.ErrRejected) {
				t.Errorf("a wrong secret: %v, want %v", err, identity.ErrRejected)
			}
		}
	})
	t.Run("an unknown name is unknown, not rejected", func(t *testing.T) {
		if err := ask(s.Unknown, s.Secret); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("%q: %v, want %v", s.Unknown, err, identity.ErrUnknown)
		}
	})
	t.Run("a name is never a pattern", func(t *testing.T) {
		for _, name := range []string{"*", "**", "?", s.Name[:1] + "*", ".*", "/.+/", "${user}", "%", "_", "(uid=*)", `\`, "' OR '1'='1"} {
			if err := ask(name, s.Secret); !errors.Is(err, identity.ErrUnknown) && !errors.Is(err, identity.ErrRejected) {
				t.Errorf("%q: %v, want a refusal", name, err)
			}
		}
	})
	if dummy, ok := s.Source.(chain.Dummy); ok {
		t.Run("a dummy costs the same as a wrong secret", func(t *testing.T) {
			c := identity.Presented{Kind: s.Kind, Name: s.Unknown, Secret: identity.NewSecret(s.Secret)}
			if err := dummy.Dummy(t.Context(), c); err != nil {
				t.Errorf("a dummy: %v, want nil", err)
			}
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			if err := dummy.Dummy(gone, c); !errors.Is(err, context.Canceled) {
				t.Errorf("a cancelled dummy: %v, want %v", err, context.Canceled)
			}
		})
	}
	if dummy, ok := s.Source.(chain.DummyLookup); ok {
		t.Run("a dummy lookup returns nil", func(t *testing.T) {
			for _, name := range []string{s.Name, s.Unknown, "*", " " + s.Name} {
				c := identity.Presented{Kind: s.Kind, Name: name, Secret: identity.NewSecret(s.Secret + "x")}
				if err := dummy.DummyLookup(t.Context(), c); err != nil {
					t.Errorf("a dummy lookup of %q: %v, want nil", name, err)
				}
			}
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			c := identity.Presented{Kind: s.Kind, Name: s.Unknown, Secret: identity.NewSecret(s.Secret)}
			if err := dummy.DummyLookup(gone, c); !errors.Is(err, context.Canceled) {
				t.Errorf("a cancelled dummy lookup: %v, want %v", err, context.Canceled)
			}
		})
	}
}

// find tests that a Finder finds exactly the users that Authenticate accepts.
func find(t *testing.T, s Subject, known *policy.Principal, finder identity.Finder) {
	if s.Hidden {
		t.Run("no user is found", func(t *testing.T) {
			if p, err := finder.Find(t.Context(), known.Name, known.ID); !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("Find(%q): %v, %v, want %v", known.Name, p, err, identity.ErrUnknown)
			}
		})
		return
	}
	t.Run("an authenticated user is found", func(t *testing.T) {
		for _, id := range []string{known.ID, ""} {
			found, err := finder.Find(t.Context(), known.Name, id)
			if diff := cmp.Diff(known, found); err != nil || diff != "" {
				t.Errorf("Find(%q, %q): %v %s", known.Name, id, err, diff)
			}
		}
	})
	if g, ok := finder.(chain.Generations); ok {
		t.Run("a password has one generation", func(t *testing.T) {
			v, err := s.Source.Authenticate(t.Context(), identity.Presented{Kind: s.Kind, Name: s.Name, Secret: identity.NewSecret(s.Secret)})
			if err != nil {
				t.Fatal(err)
			}
			found, generation, err := g.FindGeneration(t.Context(), known.Name, known.ID)
			if diff := cmp.Diff(known, found); err != nil || diff != "" {
				t.Errorf("FindGeneration(%q): %v %s", known.Name, err, diff)
			}
			if v.Generation != "" && v.Generation != generation || strings.Contains(generation, s.Secret) {
				t.Errorf("%q at sign-in, %q when found", v.Generation, generation)
			}
			if _, _, err := g.FindGeneration(t.Context(), known.Name, known.ID+"x"); !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("another id: %v, want %v", err, identity.ErrUnknown)
			}
		})
	}
	t.Run("a name with the id of another user is unknown", func(t *testing.T) {
		if _, err := finder.Find(t.Context(), known.Name, known.ID+"x"); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("another id: %v, want %v", err, identity.ErrUnknown)
		}
	})
	t.Run("an unknown user is not found", func(t *testing.T) {
		for _, name := range []string{s.Unknown, "", "\x00", known.Name + "\n"} {
			if _, err := finder.Find(t.Context(), name, ""); !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("Find(%q): %v, want %v", name, err, identity.ErrUnknown)
			}
		}
	})
}
