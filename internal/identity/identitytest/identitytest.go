// Package identitytest holds what every source of identity must keep to, as a suite that each runs, and
// a Fake source that passes it, for the tests of others.
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
	"github.com/tidewaiter/tidewaiter/policy"
)

// Subject is a source, and what the suite has to know of it.
type Subject struct {
	Source  identity.Authenticator
	Kind    identity.Kind   // of what it is shown
	Also    []identity.Kind // other kinds that it takes for the same
	Name    string          // somebody it knows …
	Secret  string          // … with a secret that holds
	Unknown string          // a name that it does not know; "": it knows every name, and takes every secret
	Hidden  bool            // it finds nobody without a secret
	Break   func()          // from then on it cannot answer; nil: it always can. It is called last
}

// Run holds a source to the contract of identity.Authenticator, and of Finder and Dummy if it is one.
func Run(t *testing.T, s Subject) {
	show := func(name, secret string) identity.Credentials {
		return identity.Credentials{Kind: s.Kind, Name: name, Secret: identity.NewSecret(secret)}
	}
	authenticate := func(t *testing.T, name, secret string) (*policy.Principal, error) {
		t.Helper()
		v, err := s.Source.Authenticate(t.Context(), show(name, secret))
		if err == nil && v.Principal == nil || err != nil && v.Principal != nil {
			t.Errorf("Authenticate(%q) gives the principal %v and the error %v: it is one or the other", name, v.Principal, err)
		}
		return v.Principal, err
	}
	known, err := authenticate(t, s.Name, s.Secret)
	if err != nil {
		t.Fatalf("the right secret of %q: %v", s.Name, err)
	}

	t.Run("a principal is whole", func(t *testing.T) {
		if known.Kind == policy.Anonymous || known.Name == "" || known.Source == "" || known.ID == "" {
			t.Errorf("%+v lacks its kind, name, source or id", known)
		}
	})
	t.Run("who comes twice is the same", func(t *testing.T) {
		again, err := authenticate(t, s.Name, s.Secret)
		if diff := cmp.Diff(known, again); err != nil || diff != "" {
			t.Errorf("the second time: %v %s", err, diff)
		}
	})
	t.Run("a secret is not the name of its credential", func(t *testing.T) {
		v, _ := s.Source.Authenticate(t.Context(), show(s.Name, s.Secret))
		if v.Credential == "" || strings.Contains(v.Credential, s.Secret) {
			t.Errorf("the credential is called %q", v.Credential)
		}
	})
	t.Run("any goroutine may ask", func(t *testing.T) {
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				if v, err := s.Source.Authenticate(t.Context(), show(s.Name, s.Secret)); err != nil || v.Principal.ID != known.ID {
					t.Errorf("beside others: %v, %v", v.Principal, err)
				}
			})
		}
		all.Wait()
	})
	t.Run("what is no secret is refused", func(t *testing.T) {
		for _, secret := range []string{"", "\x00", s.Secret + "\x00", "\x00" + s.Secret} {
			if _, err := authenticate(t, s.Name, secret); s.Unknown == "" && secret != "" {
				continue
			} else if !errors.Is(err, identity.ErrRejected) && !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("the secret %q: %v, want a refusal", secret, err)
			}
		}
	})
	t.Run("a token is no password", func(t *testing.T) {
		const token = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"
		for _, secret := range []string{token, `"` + token + `"`, "Bearer " + token, `{"value":"` + token + `"}`} {
			if _, err := authenticate(t, s.Name, secret); s.Unknown != "" && !errors.Is(err, identity.ErrRejected) {
				t.Errorf("%s: %v, want %v", secret, err, identity.ErrRejected)
			}
		}
	})
	t.Run("what is offered by mistake is refused", func(t *testing.T) {
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
	t.Run("a name has one spelling", func(t *testing.T) {
		for _, name := range []string{strings.ToUpper(s.Name), " " + s.Name, s.Name + " ", s.Name + "\x00", s.Name + "\n"} {
			if p, err := authenticate(t, name, s.Secret); err == nil && p.ID == known.ID && p.Name != known.Name {
				t.Errorf("%q is the principal of %q under another name, %q", name, s.Name, p.Name)
			}
		}
	})
	if s.Unknown != "" {
		refuse(t, s)
	}
	if finder, ok := s.Source.(identity.Finder); ok {
		find(t, s, known, finder)
	}
	t.Run("who has gone is not refused", func(t *testing.T) {
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Source.Authenticate(gone, show(s.Name, s.Secret))
		if errors.Is(err, identity.ErrUnknown) || errors.Is(err, identity.ErrRejected) {
			t.Errorf("%v: that is a refusal of a secret that holds", err)
		}
	})
	if s.Break != nil {
		t.Run("an outage is no refusal", func(t *testing.T) {
			s.Break()
			if _, err := authenticate(t, s.Name, s.Secret+"x"); err == nil || errors.Is(err, identity.ErrUnknown) || errors.Is(err, identity.ErrRejected) {
				t.Errorf("a source that cannot answer says %v", err)
			}
		})
	}
}

// refuse holds a source that knows some names to its refusals.
func refuse(t *testing.T, s Subject) {
	ask := func(name, secret string) error {
		_, err := s.Source.Authenticate(t.Context(), identity.Credentials{Kind: s.Kind, Name: name, Secret: identity.NewSecret(secret)})
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
	if dummy, ok := s.Source.(identity.Dummy); ok {
		t.Run("a dummy looks like a wrong secret", func(t *testing.T) {
			c := identity.Credentials{Kind: s.Kind, Name: s.Unknown, Secret: identity.NewSecret(s.Secret)}
			if err := dummy.Dummy(t.Context(), c); err != nil {
				t.Errorf("a dummy: %v, want nil", err)
			}
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			if err := dummy.Dummy(gone, c); !errors.Is(err, context.Canceled) {
				t.Errorf("a dummy for who has gone: %v, want %v", err, context.Canceled)
			}
		})
	}
	if dummy, ok := s.Source.(identity.DummyLookup); ok {
		t.Run("a dummy lookup refuses nobody", func(t *testing.T) {
			for _, name := range []string{s.Name, s.Unknown, "*", " " + s.Name} {
				c := identity.Credentials{Kind: s.Kind, Name: name, Secret: identity.NewSecret(s.Secret + "x")}
				if err := dummy.DummyLookup(t.Context(), c); err != nil {
					t.Errorf("a dummy lookup of %q: %v, want nil", name, err)
				}
			}
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			c := identity.Credentials{Kind: s.Kind, Name: s.Unknown, Secret: identity.NewSecret(s.Secret)}
			if err := dummy.DummyLookup(gone, c); !errors.Is(err, context.Canceled) {
				t.Errorf("a dummy lookup for who has gone: %v, want %v", err, context.Canceled)
			}
		})
	}
}

// find holds a Finder to finding whom Authenticate lets in, and nobody else.
func find(t *testing.T, s Subject, known *policy.Principal, finder identity.Finder) {
	if s.Hidden {
		t.Run("nobody is found", func(t *testing.T) {
			if p, err := finder.Find(t.Context(), known.Name, known.ID); !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("Find(%q): %v, %v, want %v", known.Name, p, err, identity.ErrUnknown)
			}
		})
		return
	}
	t.Run("who was let in is found", func(t *testing.T) {
		for _, id := range []string{known.ID, ""} {
			found, err := finder.Find(t.Context(), known.Name, id)
			if diff := cmp.Diff(known, found); err != nil || diff != "" {
				t.Errorf("Find(%q, %q): %v %s", known.Name, id, err, diff)
			}
		}
	})
	if g, ok := finder.(identity.Generations); ok {
		t.Run("a password has one generation", func(t *testing.T) {
			v, err := s.Source.Authenticate(t.Context(), identity.Credentials{Kind: s.Kind, Name: s.Name, Secret: identity.NewSecret(s.Secret)})
			if err != nil {
				t.Fatal(err)
			}
			found, generation, err := g.FindGeneration(t.Context(), known.Name, known.ID)
			if diff := cmp.Diff(known, found); err != nil || diff != "" {
				t.Errorf("FindGeneration(%q): %v %s", known.Name, err, diff)
			}
			if v.Generation != "" && v.Generation != generation || strings.Contains(generation, s.Secret) {
				t.Errorf("at sign-in it is %q, when looked up %q", v.Generation, generation)
			}
			if _, _, err := g.FindGeneration(t.Context(), known.Name, known.ID+"x"); !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("another id: %v, want %v", err, identity.ErrUnknown)
			}
		})
	}
	t.Run("a name with the id of another is unknown", func(t *testing.T) {
		if _, err := finder.Find(t.Context(), known.Name, known.ID+"x"); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("another id: %v, want %v", err, identity.ErrUnknown)
		}
	})
	t.Run("whom it does not know is not found", func(t *testing.T) {
		for _, name := range []string{s.Unknown, "", "\x00", known.Name + "\n"} {
			if _, err := finder.Find(t.Context(), name, ""); !errors.Is(err, identity.ErrUnknown) {
				t.Errorf("Find(%q): %v, want %v", name, err, identity.ErrUnknown)
			}
		}
	})
}
