package oidc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
)

// outcome returns the result for a token: "taken", "refused", "unknown" or "down".
func outcome(t *testing.T, p *oidc.Provider, raw string) string {
	t.Helper()
	_, err := show(t, p, raw)
	switch {
	case err == nil:
		return "taken"
	case errors.Is(err, identity.ErrRejected):
		return "refused"
	case errors.Is(err, identity.ErrUnknown):
		return "unknown"
	}
	return "down"
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func TestAJobsFiftyPullsVerifyOnceAndFetchOnce(t *testing.T) {
	i := newIssuer(t)
	p, raw := i.provider(), i.token()
	first, err := show(t, p, raw)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if v, err := show(t, p, raw); err != nil || v.Principal != first.Principal {
				t.Errorf("the cached token is verified again: %v", err)
			}
		})
	}
	all.Wait()
	if i.count("/keys") != 1 || i.count("/.well-known/openid-configuration") != 1 || p.Remembered() != 1 {
		t.Errorf("fetched: %v; %d tokens are cached", i.fetched, p.Remembered())
	}
}

// A result is cached for cachedFor, but not after the token has expired.
func TestATokenIsNotCachedAfterItsExpiry(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	short, long := i.token(claims{"exp": i.Now().Add(30 * time.Second).Unix()}), i.token()
	want(t, "a short token", outcome(t, p, short), "taken")
	want(t, "a long token", outcome(t, p, long), "taken")
	i.publish(newKey(t, "two").public("sig"))
	i.Pass(90*time.Second + time.Second) // after the expiry of the short token and the leeway
	want(t, "the short token, expired", outcome(t, p, short), "refused")
	want(t, "the long token, cached", outcome(t, p, long), "taken")
	i.Pass(30 * time.Second)
	i.Pass(time.Hour)
	want(t, "the long token, expired", outcome(t, p, long), "refused")
	for k := range 30 {
		_ = outcome(t, p, i.token(claims{"aud": "another", "jti": k}))
	}
	if n := p.Remembered(); n != 2 {
		t.Errorf("%d tokens are cached, including refused tokens", n)
	}
}

func TestKeysThatChangeArePickedUp(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	old := i.token(claims{"jti": "1"})
	want(t, "a token of the first key", outcome(t, p, old), "taken")

	first, second := i.key, newKey(t, "two")
	i.publish(first.public("sig"), second.public("sig"))
	i.Pass(time.Minute)
	want(t, "a token of the second key", outcome(t, p, second.sign(t, i.claims())), "taken")
	want(t, "another token of the first", outcome(t, p, i.token(claims{"jti": "2"})), "taken")
	if n := i.count("/keys"); n != 2 {
		t.Errorf("keys were fetched %d times, want 2", n)
	}

	i.publish(second.public("sig")) // the first key is revoked
	i.Pass(time.Minute)
	want(t, "a key that is not known", outcome(t, p, newKey(t, "three").sign(t, i.claims())), "refused")
	want(t, "a token of the revoked key", outcome(t, p, i.token(claims{"jti": "3"})), "refused")
	want(t, "a token of the second key", outcome(t, p, second.sign(t, i.claims())), "taken")
}

// Anyone can invent a kid. Two hundred invented kids cause only one fetch.
func TestForgedKeyIDsAreFetchedForOnce(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	want(t, "a good token", outcome(t, p, i.token()), "taken")
	i.Pass(time.Minute)
	forger := newKey(t, "")
	flood := func() {
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				for k := range 25 {
					forged := signing{"forged" + sprint(w*25+k), forger.alg, forger.key}
					want(t, "a forged token", outcome(t, p, forged.sign(t, i.claims())), "refused")
				}
			})
		}
		all.Wait()
	}
	flood()
	if n := i.count("/keys"); n != 2 {
		t.Errorf("200 forged tokens: keys were fetched %d times, want once more than the first", n)
	}
	flood()
	i.Pass(59 * time.Second)
	flood()
	if n := i.count("/keys"); n != 2 {
		t.Errorf("600 forged tokens within a minute: keys were fetched %d times, want 2", n)
	}
	want(t, "a valid token meanwhile", outcome(t, p, i.token(claims{"jti": 1})), "taken")
}

func TestKnownKeysServeWhileTheIssuerIsDown(t *testing.T) {
	i, log := newIssuer(t), new(await.Log)
	p := i.provider(func(o *oidc.Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
	want(t, "a good token", outcome(t, p, i.token()), "taken")
	i.fail()
	second := newKey(t, "two")
	for h := range 23 {
		i.Pass(time.Hour)
		want(t, "a valid token while the issuer is down", outcome(t, p, i.token()), "taken")
		want(t, "a token with an unknown key", outcome(t, p, second.sign(t, i.claims())), "down")
		want(t, "an invalid token while the issuer is down", outcome(t, p, signing{"one", second.alg, second.key}.sign(t, i.claims().extend(claims{"h": h}))), "refused")
	}
	if n := log.Count("cannot fetch the keys of an issuer"); n != 1 {
		t.Errorf("the outage is logged %d times", n)
	}
	i.Pass(2 * time.Hour) // a day after the last fetch
	want(t, "a valid token after a day", outcome(t, p, i.token()), "down")
	i.answerWith(nil)
	i.Pass(time.Minute)
	want(t, "a valid token when the issuer is back", outcome(t, p, i.token()), "taken")
	if log.Count("fetched the keys of an issuer again") != 1 {
		t.Errorf("the end of the outage is not logged:\n%s", log)
	}
}

// An issuer that is down is asked less often after each failure, but at least once a minute.
// Between these fetches, no request waits for the issuer.
func TestAnIssuerThatIsDownIsAskedLessAndLess(t *testing.T) {
	i := newIssuer(t)
	i.fail()
	p := i.provider()
	var asked []int
	for second := range 300 {
		before := i.count("/.well-known/openid-configuration")
		want(t, "a token while the issuer is down", outcome(t, p, i.token(claims{"jti": second})), "down")
		if i.count("/.well-known/openid-configuration") > before {
			asked = append(asked, second)
		}
		i.Pass(time.Second)
	}
	if got := sprint(asked); got != "[0 20 60 120 180 240]" {
		t.Errorf("it was asked in the seconds %s", got)
	}
}

func TestWrongAnswersOfAnIssuer(t *testing.T) {
	other := newIssuer(t)
	const discovery, keys = "/.well-known/openid-configuration", "/keys"
	says := func(path, text string) func(*issuer) func(http.ResponseWriter, *http.Request) bool {
		return func(i *issuer) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != path {
					return false
				}
				_, _ = io.WriteString(w, strings.NewReplacer("ISSUER", i.url, "OTHER", other.url).Replace(text))
				return true
			}
		}
	}
	redirects := func(path, to string) func(*issuer) func(http.ResponseWriter, *http.Request) bool {
		return func(i *issuer) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != path {
					return false
				}
				secure := strings.Replace(i.url, "http:", "https:", 1)
				http.Redirect(w, r, strings.NewReplacer("ISSUER", i.url, "OTHER", other.url, "SECURE", secure).Replace(to), http.StatusFound)
				return true
			}
		}
	}
	for _, tt := range []struct {
		what string
		does func(*issuer) func(http.ResponseWriter, *http.Request) bool
		why  string // "": accepted
	}{
		{"a document with other members", says(discovery, `{"issuer":"ISSUER","jwks_uri":"ISSUER/keys","more":[1]}`), ""},
		{"a redirect on its own host", redirects("/keys", "/moved"), "404"},
		{"the document of another issuer", says(discovery, `{"issuer":"OTHER","jwks_uri":"ISSUER/keys"}`), "the document is for the issuer"},
		{"its document with a slash", says(discovery, `{"issuer":"ISSUER/","jwks_uri":"ISSUER/keys"}`), "the document is for the issuer"},
		{"a document without an issuer", says(discovery, `{"jwks_uri":"ISSUER/keys"}`), "the document is for the issuer"},
		{"a document without an address", says(discovery, `{"issuer":"ISSUER"}`), "jwks_uri"},
		{"an http address on another host", says(discovery, `{"issuer":"ISSUER","jwks_uri":"http://keys.example.com/"}`), "jwks_uri"},
		{"an address that is a file", says(discovery, `{"issuer":"ISSUER","jwks_uri":"file:///etc/passwd"}`), "jwks_uri"},
		{"an address with a password", says(discovery, `{"issuer":"ISSUER","jwks_uri":"https://a:b@127.0.0.1/"}`), "jwks_uri"},
		{"an HTML page instead of a document", says(discovery, `<html>`), "not a discovery document"},
		{"an HTML page instead of keys", says(keys, `<html>`), "not a JSON Web Key Set"},
		{"no keys", says(keys, `{"keys":[]}`), "no usable key"},
		{"nothing", says(keys, `{}`), "no usable key"},
		{"only unusable keys", says(keys, `{"keys":[{"kty":"oct","k":"AAAA"}]}`), "no usable key"},
		{"very many keys", says(keys, `{"keys":[`+strings.Repeat(`{},`, 100)+`{}]}`), "it has 101 keys, and the limit is 100"},
		{"an answer without an end", func(*issuer) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				chunk := bytes.Repeat([]byte(" "), 32<<10)
				for r.URL.Path == keys {
					if _, err := w.Write(chunk); err != nil {
						return true
					}
				}
				return false
			}
		}, "larger than 512 KiB"},
		{"a redirect of the keys to another host", redirects(keys, "OTHER/keys"), "redirect to another host"},
		{"a redirect of the document to another host", redirects(discovery, "OTHER"+discovery), "redirect to another host"},
		{"a redirect to another scheme", redirects(keys, "SECURE/keys"), "redirect to another host"},
		{"a redirect to itself", redirects(keys, "ISSUER/keys"), "too many redirects"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			i := newIssuer(t)
			i.answerWith(tt.does(i))
			_, err := show(t, i.provider(), i.token())
			switch {
			case tt.why == "" && err != nil:
				t.Errorf("%v", err)
			case tt.why == "":
			case err == nil || errors.Is(err, identity.ErrRejected) || errors.Is(err, identity.ErrUnknown) || !strings.Contains(err.Error(), tt.why):
				t.Errorf("%v, want an outage with %q", err, tt.why)
			}
		})
	}
	if n := len(other.fetched); n != 0 {
		t.Errorf("another host was asked: %v", other.fetched)
	}
}

func TestABrokenAnswerLeavesTheKeysAsTheyAre(t *testing.T) {
	i := newIssuer(t)
	p := i.provider()
	want(t, "a good token", outcome(t, p, i.token()), "taken")
	i.publish() // an empty set
	i.Pass(time.Minute)
	want(t, "a key that is not known", outcome(t, p, newKey(t, "two").sign(t, i.claims())), "down")
	want(t, "a good token", outcome(t, p, i.token()), "taken")
}

// If the request that started a fetch is cancelled, the other waiting requests still get the
// keys.
func TestACancelledRequestDoesNotStopOthers(t *testing.T) {
	i := newIssuer(t)
	release := make(chan struct{})
	i.answerWith(func(http.ResponseWriter, *http.Request) bool { <-release; return false })
	p := i.provider()
	ctx, cancel := context.WithCancel(t.Context())
	gone, got := make(chan error), make(chan string)
	go func() {
		_, err := p.Authenticate(ctx, identity.NewPresented("oidc", i.token()))
		gone <- err
	}()
	for p.Waiting() < 1 {
		runtime.Gosched()
	}
	go func() { got <- outcome(t, p, i.token()) }()
	for p.Waiting() < 2 {
		runtime.Gosched()
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled request: %v, want %v", err, context.Canceled)
	}
	close(release)
	want(t, "who stayed", <-got, "taken")
	if n := i.count("/keys"); n != 1 {
		t.Errorf("keys were fetched %d times, want once", n)
	}
}

func TestWaitingRequestsAreBounded(t *testing.T) {
	i := newIssuer(t)
	release := make(chan struct{})
	i.answerWith(func(http.ResponseWriter, *http.Request) bool { <-release; return false })
	p, raw := i.provider(), i.token()
	var all sync.WaitGroup
	var good atomic.Int32
	for range oidc.MaxWaiting {
		all.Go(func() {
			if outcome(t, p, raw) == "taken" {
				good.Add(1)
			}
		})
	}
	for p.Waiting() < oidc.MaxWaiting {
		runtime.Gosched()
	}
	want(t, "one more", outcome(t, p, raw), "down")
	close(release)
	all.Wait()
	if good.Load() != oidc.MaxWaiting || p.Waiting() != 0 {
		t.Errorf("%d of %d were served, %d still wait", good.Load(), oidc.MaxWaiting, p.Waiting())
	}
}

// roundTrip is a network without sockets, so that the test can run in a synctest bubble with
// its own clock.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(v any) (*http.Response, error) {
	text, err := json.Marshal(v)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(text))}, err
}

// A slow issuer delays its own tokens only once, by at most ten seconds. It does not delay
// other tokens.
func TestASlowIssuerDelaysItsOwnTokensOnce(t *testing.T) {
	key := newKey(t, "one")
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, oidc.Options{Name: "ci", Issuer: "https://issuer.example.com", Audience: []string{"us"}})
		p.Through(roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		c := claims{"iss": "https://issuer.example.com", "aud": "us", "sub": "s", "exp": time.Now().Add(time.Hour).Unix()}
		began := time.Now()
		want(t, "the first", outcome(t, p, key.sign(t, c)), "down")
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %s, want 10s", took)
		}
		began = time.Now()
		want(t, "the second", outcome(t, p, key.sign(t, c)), "down")
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %s, want none", took)
		}
	})
}

// Run refreshes the keys without requests, and recovers soon after an outage.
func TestRunKeepsKeysFresh(t *testing.T) {
	key := newKey(t, "one")
	synctest.Test(t, func(t *testing.T) {
		var log []string
		var down atomic.Bool
		began := time.Now()
		p := newProvider(t, oidc.Options{Name: "ci", Issuer: "https://issuer.example.com", Audience: []string{"us"}})
		p.Through(roundTrip(func(r *http.Request) (*http.Response, error) {
			log = append(log, time.Since(began).String()+r.URL.Path[:3])
			switch {
			case down.Load():
				return nil, errors.New("the wire is cut")
			case r.URL.Path == "/keys":
				return answer(claims{"keys": []any{key.public("sig")}})
			}
			return answer(claims{"issuer": "https://issuer.example.com", "jwks_uri": "https://issuer.example.com/keys"})
		}))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); p.Run(ctx) }()
		<-time.After(2*time.Hour + time.Minute)
		down.Store(true)
		<-time.After(61*time.Minute + 30*time.Second)
		down.Store(false)
		<-time.After(2 * time.Minute)
		cancel()
		<-ended
		got := strings.Join(log, " ")
		const wanted = "0s/.w 0s/ke 1h0m0s/ke 2h0m0s/ke 3h0m0s/ke 3h0m20s/.w 3h1m0s/.w 3h2m0s/.w 3h3m0s/.w 3h3m0s/ke"
		if got != wanted {
			t.Errorf("fetched at\n%s, want\n%s", got, wanted)
		}
	})
}

// If a config is reloaded while the issuer is down, the known keys stay in use.
func TestKeysAreHandedToTheNextProvider(t *testing.T) {
	i := newIssuer(t)
	first := i.provider()
	want(t, "a good token", outcome(t, first, i.token()), "taken")
	i.fail()
	for _, tt := range []struct {
		what   string
		change func(*oidc.Options)
		want   string
	}{
		{"the same issuer", func(o *oidc.Options) { o.Name, o.Principal = "renamed", "x:{sub}" }, "taken"},
		{"keys from another place", func(o *oidc.Options) { o.JWKSURL = i.url + "/other" }, "down"},
	} {
		next := i.provider(tt.change)
		next.Inherit(first)
		want(t, tt.what, outcome(t, next, i.token()), tt.want)
	}
}
