package keyring_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/clock/clocktest"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/token"
)

func TestLeafIsRenewedAtHalfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t, keyring.Options{Root: root(t), MaxToken: time.Hour})
		begin := time.Now()
		first := signer(t, k, token.X5C, token.ES256).Certificate()
		if got := first.NotAfter.Sub(begin); got != 24*time.Hour {
			t.Errorf("the leaf is valid for %v, want a day", got)
		}
		if got := begin.Sub(first.NotBefore); got != time.Hour {
			t.Errorf("the leaf becomes valid %v before now, which is not enough for registries with other clocks", got)
		}

		sleep(12*time.Hour - time.Minute)
		if !first.Equal(signer(t, k, token.X5C, token.ES256).Certificate()) {
			t.Error("the leaf was renewed before half its lifetime")
		}
		sleep(2 * time.Minute)
		second := signer(t, k, token.X5C, token.ES256).Certificate()
		if second.Equal(first) {
			t.Fatal("the leaf was not renewed after half its lifetime")
		}
		if second.PublicKey.(*ecdsa.PublicKey).Equal(first.PublicKey) {
			t.Error("the new leaf has the old key")
		}
	})
}

// During a month, a token is signed every hour. No token is refused, and no token outlives its
// certificate.
func TestNoTokenOutlivesItsLeaf(t *testing.T) {
	for _, leaf := range []time.Duration{0, keyring.Shortest(time.Hour)} {
		synctest.Test(t, func(t *testing.T) {
			k := open(t, keyring.Options{Root: root(t), MaxToken: time.Hour, LeafLifetime: leaf})
			for range 30 * 24 * 2 {
				s := signer(t, k, token.X5C, token.ES256)
				expires := time.Now().Add(time.Hour + time.Second)
				sign(t, s, expires)
				if end := s.Certificate().NotAfter; end.Before(expires.Add(token.Leeway)) {
					t.Fatalf("a token expires at %s, but its leaf at %s", expires, end)
				}
				sleep(29 * time.Minute)
			}
		})
	}
}

func TestFailingRenewalKeepsTheOldLeafAndTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log await.Log
		key := &failingKey{Signer: newKey(t)}
		k := open(t, keyring.Options{Root: rootOf(t, key), MaxToken: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
		first := signer(t, k, token.X5C, token.ES256)

		key.fails.Store(true)
		sleep(18 * time.Hour)
		if signer(t, k, token.X5C, token.ES256) != first {
			t.Fatal("the leaf changed though none could be made")
		}
		sign(t, first, time.Now().Add(time.Hour))
		failures := strings.Count(log.String(), "level=ERROR")
		if want := "the key service does not answer"; !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
		if failures < 3 || failures > 40 {
			t.Errorf("%d failures logged in six hours", failures)
		}

		key.fails.Store(false)
		sleep(16 * time.Minute)
		if signer(t, k, token.X5C, token.ES256) == first {
			t.Error("the leaf was not renewed after the key service worked again")
		}
	})
}

// If renewals fail until a token would outlive the leaf, signing fails. Otherwise registries would
// reject the token.
func TestExpiringLeafSignsNothingThatOutlivesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := &failingKey{Signer: newKey(t)}
		k := open(t, keyring.Options{Root: rootOf(t, key), MaxToken: time.Hour})
		key.fails.Store(true)
		sleep(23 * time.Hour)
		s := signer(t, k, token.X5C, token.ES256)
		if _, err := s.Append(nil, &token.Claims{Issuer: "i", Audience: "a", Expires: time.Now().Add(time.Hour)}); !errors.Is(err, token.ErrOutlives) {
			t.Errorf("error %v", err)
		}
		sign(t, s, time.Now().Add(time.Minute))
	})
}

// After the machine slept or its clock was set, the wall clock decides whether a leaf fits.
func TestClockJumps(t *testing.T) {
	for _, tt := range []struct {
		what    string
		by      time.Duration
		renewed bool
	}{
		{"a machine slept for a day", 24 * time.Hour, true},
		{"a clock was set back by a day", -24 * time.Hour, true},
		{"a clock was set back by a minute", -time.Minute, false},
	} {
		t.Run(tt.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var jump atomic.Int64
				now := func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
				k := open(t, keyring.Options{Root: root(t), MaxToken: time.Hour, Now: now})
				first := signer(t, k, token.X5C, token.ES256)
				sleep(time.Minute)
				jump.Store(int64(tt.by))
				sleep(2 * time.Minute)
				s, err := k.Signer(token.X5C, token.ES256, now())
				if err != nil {
					t.Fatal(err)
				}
				if (s != first) != tt.renewed {
					t.Errorf("renewed: %v", s != first)
				}
				if c := s.Certificate(); now().Before(c.NotBefore) || now().After(c.NotAfter) {
					t.Errorf("at %s the leaf is valid from %s to %s", now(), c.NotBefore, c.NotAfter)
				}
			})
		})
	}
}

// Signer renews an unfit leaf. In this test, Run is not called.
func TestUnfitLeafIsRenewedAtOnce(t *testing.T) {
	for _, tt := range []struct {
		what    string
		by      time.Duration
		renewed bool
	}{
		{"a moment later", time.Second, false},
		{"at half its lifetime", 12 * time.Hour, false}, // only Run renews it
		{"too late for the longest token", 23*time.Hour + time.Minute, true},
		{"after its end", 30 * time.Hour, true},
		{"a minute before its creation", -time.Minute, false},
		{"before its validity", -2 * time.Hour, true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			key := &failingKey{Signer: newKey(t)}
			c := clocktest.New(time.Now())
			k, err := keyring.New(keyring.Options{Root: rootOf(t, key), MaxToken: time.Hour, Now: c.Now})
			if err != nil {
				t.Fatal(err)
			}
			sign := func() *token.Signer {
				s, err := k.Signer(token.X5C, token.ES256, c.Now().Round(0))
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			first := sign()
			c.Set(tt.by)
			key.fails.Store(true)
			for range 3 {
				if sign() != first {
					t.Error("the leaf changed though none could be made")
				}
			}
			key.fails.Store(false)
			if sign() != first {
				t.Error("the renewal was repeated immediately: each request would wait for a key service that is down")
			}
			c.Pass(time.Minute)
			second := sign()
			if (second != first) != tt.renewed || sign() != second {
				t.Errorf("renewed: %v, want %v, once", second != first, tt.renewed)
			}
			if c, now := second.Certificate(), c.Now(); tt.renewed && (now.Before(c.NotBefore) || now.Add(time.Hour).After(c.NotAfter)) {
				t.Errorf("at %s the leaf is valid from %s to %s", now, c.NotBefore, c.NotAfter)
			}
		})
	}
}

func TestSigningDuringRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t, keyring.Options{Root: root(t), MaxToken: time.Hour})
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range 100 {
					sign(t, signer(t, k, token.X5C, token.ES256), time.Now().Add(time.Hour))
					time.Sleep(31 * time.Minute)
				}
			})
		}
		group.Wait()
	})
}

func TestSigner(t *testing.T) {
	ca := root(t)
	leafless := selfSigned(t, newKey(t), &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature})
	libtrust, err := ca.KeyID(token.Libtrust)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what    string
		options keyring.Options
		form    token.KeyID
		alg     token.Algorithm
		own     bool // the root's own key signs
		kid     string
		gets    token.Algorithm
	}{
		{"defaults: an ES256 leaf", keyring.Options{Root: ca}, token.X5C, token.ES256, false, "", token.ES256},
		{"a registry with RS256: an RS256 leaf", keyring.Options{Root: ca, Uses: []keyring.Use{{KeyID: token.X5C}, {Algorithm: token.RS256}}},
			token.X5C, token.RS256, false, "", token.RS256},
		{"a registry without an algorithm: the default", keyring.Options{Root: ca, Algorithm: token.ES384}, "", "", false, "", token.ES384},
		{"leaves of another default", keyring.Options{Root: ca, Algorithm: token.ES384}, token.X5C, token.ES384, false, "", token.ES384},
		{"a kid: the root's own key", keyring.Options{Root: ca, Uses: []keyring.Use{{KeyID: token.Libtrust, Algorithm: token.RS256}}},
			token.Libtrust, token.RS256, true, libtrust, token.ES256},
		{"Direct: the root's own key", keyring.Options{Root: ca, Direct: true}, token.X5C, token.ES256, true, "", token.ES256},
		{"no CA: the root's own key", keyring.Options{Root: leafless}, token.X5C, token.ES256, true, "", token.ES256},
	} {
		t.Run(tt.what, func(t *testing.T) {
			tt.options.Now = time.Now
			k, err := keyring.New(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			s := signer(t, k, tt.form, tt.alg)
			if s.KeyID() != tt.kid || s.Algorithm() != tt.gets {
				t.Errorf("kid %q, algorithm %s", s.KeyID(), s.Algorithm())
			}
			certificate := s.Certificate()
			if own := certificate == nil || certificate.Equal(tt.options.Root.Certificate()); own != tt.own {
				t.Errorf("whether the root's own key signs: %v", own)
			}
			if _, err := k.Signer(token.Thumbprint, token.ES256, time.Now()); err == nil {
				t.Error("Signer returned a signer that no registry uses")
			}
			if _, err := k.Signer(token.X5C, token.EdDSA, time.Now()); err == nil && !tt.own {
				t.Error("Leaves returned a leaf that no registry uses")
			}
			var set struct{ Keys []struct{ Kid string } }
			if err := json.Unmarshal(k.JWKS(), &set); err != nil || len(set.Keys) == 0 {
				t.Errorf("key set %s, error %v", k.JWKS(), err)
			}
			if tt.kid != "" && set.Keys[0].Kid != tt.kid {
				t.Errorf("the key set is %s", k.JWKS())
			}
			if !bytes.Equal(k.Bundle(), tt.options.Root.Bundle()) || k.Root() != tt.options.Root {
				t.Error("the bundle does not have the root's certificate")
			}
		})
	}
}

func TestNewRejects(t *testing.T) {
	ended := func(end time.Time) *token.Root {
		r, err := token.NewRoot("x", token.ES256, end.AddDate(-1, 0, 0), end)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ed25519, err := token.NewRoot("x", token.EdDSA, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what    string
		options keyring.Options
		says    string
	}{
		{"no root", keyring.Options{}, "Root and Now are required"},
		{"a root that has ended", keyring.Options{Root: ended(time.Now().Add(-time.Hour))}, "the root expires"},
		{"a root that ends within a token", keyring.Options{Root: ended(time.Now().Add(30 * time.Minute))}, "too soon for a token of 1h0m0s"},
		{"an ended certificate that signs itself", keyring.Options{Root: ended(time.Now().Add(-time.Hour)), Direct: true}, "too soon for a token"},
		{"leaves too short for tokens", keyring.Options{Root: root(t), LeafLifetime: 2 * time.Hour}, "it must be between 2h32m0s and"},
		{"leaves of two years", keyring.Options{Root: root(t), LeafLifetime: 2 * 8766 * time.Hour}, "invalid lifetime of leaves"},
		{"an unknown algorithm", keyring.Options{Root: root(t), Algorithm: "HS256"}, `there is no algorithm "HS256"`},
		{"an unknown form", keyring.Options{Root: root(t), Uses: []keyring.Use{{KeyID: "jku"}}}, `the form "jku" has no kid`},
		{"a kid that a key cannot have", keyring.Options{Root: ed25519, Uses: []keyring.Use{{KeyID: token.Libtrust}}}, "does not support Ed25519 keys"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			tt.options.Now = time.Now
			if _, err := keyring.New(tt.options); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want one with %q", err, tt.says)
			}
		})
	}
}

// An expired certificate does not matter to registries that find the key by kid.
func TestExpiredRootSignsByKid(t *testing.T) {
	r, err := token.NewRoot("x", token.ES256, time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	k, err := keyring.New(keyring.Options{Root: r, Uses: []keyring.Use{{KeyID: token.Libtrust}}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	sign(t, signer(t, k, token.Libtrust, ""), time.Now().Add(time.Hour))
}

func TestExpiryOfTheRootIsLoggedOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log await.Log
		r, err := token.NewRoot("x", token.ES256, time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 35))
		if err != nil {
			t.Fatal(err)
		}
		open(t, keyring.Options{Root: r, Log: slog.New(slog.NewTextHandler(&log, nil))})
		sleep(4 * 24 * time.Hour)
		if strings.Contains(log.String(), "expires-soon") {
			t.Errorf("logged too early:\n%s", log.String())
		}
		sleep(4 * 24 * time.Hour)
		if n := strings.Count(log.String(), "problem=expires-soon"); n < 2 || n > 4 {
			t.Errorf("logged %d times in about three days:\n%s", n, log.String())
		}
	})
}

// A leaf that expires with its root is not renewed, because no leaf with a later expiry can be
// issued.
func TestLeafThatExpiresWithItsRootIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log await.Log
		r, err := token.NewRoot("x", token.ES256, time.Now().Add(-time.Hour), time.Now().Add(20*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		open(t, keyring.Options{Root: r, Uses: []keyring.Use{{}, {}}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		sleep(19 * time.Hour)
		if n := strings.Count(log.String(), "issued a new leaf certificate"); n != 1 {
			t.Errorf("%d leaves:\n%s", n, log.String())
		}
		if !strings.Contains(log.String(), "algorithms=[ES256]") {
			t.Errorf("two registries with the same settings do not share a leaf:\n%s", log.String())
		}
	})
}

func TestSignerAllocatesNothing(t *testing.T) {
	k, err := keyring.New(keyring.Options{Root: root(t), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { signer(t, k, token.X5C, token.ES256) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSigner(b *testing.B) {
	k, err := keyring.New(keyring.Options{Root: root(b), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := k.Signer(token.X5C, token.ES256, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

// open creates a keyring and runs it until the test ends.
func open(t *testing.T, o keyring.Options) *keyring.Keyring {
	t.Helper()
	if o.Now == nil {
		o.Now = time.Now
	}
	k, err := keyring.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return k
}

// sleep advances the time in a synctest bubble, and waits for the work that is then due.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func signer(t testing.TB, k *keyring.Keyring, form token.KeyID, alg token.Algorithm) *token.Signer {
	t.Helper()
	s, err := k.Signer(form, alg, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t testing.TB, s *token.Signer, expires time.Time) {
	t.Helper()
	if _, err := s.Append(nil, &token.Claims{Issuer: "i", Audience: "a", Expires: expires}); err != nil {
		t.Error(err)
	}
}

func root(t testing.TB) *token.Root {
	t.Helper()
	r, err := token.NewRoot("x", token.ES256, time.Now().Add(-time.Hour), time.Now().AddDate(10, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rootOf(t *testing.T, key crypto.Signer) *token.Root {
	t.Helper()
	return selfSigned(t, key, &x509.Certificate{IsCA: true, KeyUsage: x509.KeyUsageCertSign})
}

func selfSigned(t *testing.T, key crypto.Signer, c *x509.Certificate) *token.Root {
	t.Helper()
	c.SerialNumber, c.Subject, c.BasicConstraintsValid = big.NewInt(1), pkix.Name{CommonName: "x"}, true
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(10, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	r, err := token.RootOf(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// failingKey is a key in a key service. A test can make the service unavailable.
type failingKey struct {
	crypto.Signer
	fails atomic.Bool
}

func (f *failingKey) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if f.fails.Load() {
		return nil, errors.New("the key service does not answer")
	}
	return f.Signer.Sign(random, digest, o)
}
