package registryapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/scope"
)

// transport adds a token to each request to the registry. It refuses requests to other hosts.
type transport struct {
	host *url.URL
	o    Options
	next http.RoundTripper

	free   time.Time // when the next request may be sent
	rights scope.Scope
	signed string // the token with these rights
	until  time.Time
}

// dialer returns the transport that connects to the registry.
func dialer(roots *x509.CertPool) http.RoundTripper {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSClientConfig:        &tls.Config{RootCAs: roots},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
	}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.checkHost(r.URL); err != nil {
		return nil, err
	}
	rights, ok := rightsFor(r)
	if !ok {
		return nil, fmt.Errorf("no token permits %s %s", r.Method, r.URL.Path)
	}
	if err := t.wait(r.Context()); err != nil {
		return nil, err
	}
	signed, err := t.token(rights)
	if err != nil {
		return nil, fmt.Errorf("signing a token for registry %s: %w", t.o.Service, err)
	}
	own := r.Clone(r.Context())
	own.Header.Set("Authorization", "Bearer "+signed)
	own.Header.Set("User-Agent", "tidewaiter")
	return t.next.RoundTrip(own)
}

// checkHost refuses URLs that are not at the registry. Otherwise a registry could make Tidewaiter
// send requests, and its token, to other services.
func (t *transport) checkHost(u *url.URL) error {
	if u.Scheme != t.host.Scheme || !strings.EqualFold(u.Host, t.host.Host) {
		return fmt.Errorf("registry %s refers to another host, %s://%s; only its URL %s is used", t.o.Service, u.Scheme, u.Host, t.o.URL)
	}
	return nil
}

func (t *transport) checkRedirect(r *http.Request, via []*http.Request) error {
	const maxRedirects = 3
	if len(via) > maxRedirects {
		return fmt.Errorf("registry %s redirects more than %d times", t.o.Service, maxRedirects)
	}
	return t.checkHost(r.URL)
}

// wait waits until Options.Rate permits another request.
func (t *transport) wait(ctx context.Context) error {
	if t.o.Rate <= 0 {
		return nil
	}
	now := t.o.Now()
	if t.free.Before(now) {
		t.free = now
	}
	delay := t.free.Sub(now)
	t.free = t.free.Add(time.Duration(float64(time.Second) / t.o.Rate))
	return clock.Sleep(ctx, delay)
}

// token returns a token with the given rights. Consecutive requests to a repository use the same
// token.
func (t *transport) token(rights scope.Scope) (string, error) {
	const leeway = 30 * time.Second
	if t.signed != "" && t.rights == rights && t.o.Now().Add(leeway).Before(t.until) {
		return t.signed, nil
	}
	signed, until, err := t.o.Sign(rights)
	if err == nil {
		t.rights, t.signed, t.until = rights, signed, until
	}
	return signed, err
}

// rightsFor returns the rights that a registry requires for a request.
func rightsFor(r *http.Request) (scope.Scope, bool) {
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok {
		return scope.Scope{}, false
	}
	if path == "_catalog" {
		return scope.Scope{Type: scope.TypeRegistry, Name: "catalog", Actions: scope.All}, true
	}
	repository, isTags := strings.CutSuffix(path, "/tags/list")
	if !isTags {
		i := strings.LastIndex(path, "/manifests/")
		if i < 0 {
			return scope.Scope{}, false
		}
		repository = path[:i]
	}
	actions := scope.Pull
	switch r.Method {
	case http.MethodPut:
		actions = scope.Pull | scope.Push
	case http.MethodDelete:
		actions = scope.Delete
	}
	return scope.Scope{Type: scope.TypeRepository, Name: repository, Actions: actions}, true
}
