package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/endpoint"
)

// Bounds of a fetch. Real key sets have a few kilobytes.
const (
	maxDocument  = 512 << 10        // bytes
	fetchTimeout = 10 * time.Second // for the discovery document and the keys together
	maxRedirects = 3
)

// origin is the place from which the issuer's keys come.
type origin interface {
	fetch(context.Context) (jwks, error)
	close()
}

// file is a JWKS file.
type file struct{ path string }

func (f file) fetch(context.Context) (jwks, error) {
	text, err := endpoint.ReadFile(f.path, maxDocument)
	if err != nil {
		return jwks{}, err
	}
	set, err := parseKeys(text)
	if err != nil {
		return jwks{}, fmt.Errorf("reading keys from %s: %w", f.path, err)
	}
	return set, nil
}

func (file) close() {}

// remote is an issuer with a URL.
type remote struct {
	name   string   // the issuer's identifier
	issuer *url.URL // nil: the identifier is not a URL, and the field keys is set
	keys   *url.URL // URL of the keys; nil: it is in the discovery document
	bearer string   // file with a bearer token
	client *http.Client

	mu    sync.Mutex
	found *url.URL // jwks_uri of the discovery document; nil: not known, or no longer valid
}

func newRemote(name string, issuer, keys *url.URL, roots *x509.CertPool, bearerFile string) *remote {
	return &remote{
		name: name, issuer: issuer, keys: keys, bearer: bearerFile,
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				ForceAttemptHTTP2:      true,
				TLSHandshakeTimeout:    fetchTimeout,
				MaxResponseHeaderBytes: 64 << 10,
				MaxIdleConns:           2,
				IdleConnTimeout:        30 * time.Second,
			},
			CheckRedirect: sameHost,
		},
	}
}

// sameHost allows redirects on the same host only. With a redirect to another host, anyone who can
// publish a page at the issuer could choose the issuer's keys. The redirected request would also
// contain our bearer token.
func sameHost(next *http.Request, before []*http.Request) error {
	if len(before) > maxRedirects {
		return errors.New("too many redirects")
	}
	if from := before[0].URL; next.URL.Scheme != from.Scheme || next.URL.Host != from.Host {
		return fmt.Errorf("redirect to another host, %s", next.URL.Host)
	}
	return nil
}

func (r *remote) close() { r.client.CloseIdleConnections() }

func (r *remote) fetch(ctx context.Context) (jwks, error) {
	at, err := r.discover(ctx)
	if err != nil {
		return jwks{}, err
	}
	set, err := r.fetchKeys(ctx, at)
	if err != nil {
		r.remember(nil) // the keys can have a new URL
	}
	return set, err
}

func (r *remote) fetchKeys(ctx context.Context, at *url.URL) (jwks, error) {
	text, err := r.get(ctx, at)
	if err != nil {
		return jwks{}, err
	}
	set, err := parseKeys(text)
	if err != nil {
		return jwks{}, fmt.Errorf("reading keys from %s: %w", at.Redacted(), err)
	}
	return set, nil
}

func (r *remote) remember(at *url.URL) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = at
}

// discover returns the URL of the keys (OpenID Connect Discovery 1.0). The issuer in the
// document must equal the configured issuer exactly.
func (r *remote) discover(ctx context.Context) (*url.URL, error) {
	if r.keys != nil {
		return r.keys, nil
	}
	r.mu.Lock()
	found := r.found
	r.mu.Unlock()
	if found != nil {
		return found, nil
	}
	at, err := url.Parse(strings.TrimSuffix(r.name, "/") + "/.well-known/openid-configuration")
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	body, err := r.get(ctx, at)
	if err != nil {
		return nil, err
	}
	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, fmt.Errorf("reading %s: not a discovery document", at.Redacted())
	}
	if document.Issuer != r.name {
		return nil, fmt.Errorf("reading %s: the document is for the issuer %q, not for %q", at.Redacted(), shorten(document.Issuer), r.name)
	}
	keys, err := url.Parse(document.Keys)
	if err != nil || keys.Hostname() == "" || keys.User != nil || !endpoint.Safe(keys) || r.issuer.Scheme == "https" && keys.Scheme != "https" {
		return nil, fmt.Errorf("reading %s: its jwks_uri is not an https URL", at.Redacted())
	}
	r.remember(keys)
	return keys, nil
}

// get fetches a document. It sends the bearer token only to the host in the config, and not to
// hosts in a document.
func (r *remote) get(ctx context.Context, at *url.URL) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	request.Header.Set("Accept", "application/json, application/jwk-set+json")
	request.Header.Set("User-Agent", "tidewaiter")
	if named := r.issuer; r.bearer != "" {
		if r.keys != nil {
			named = r.keys
		}
		if at.Scheme == named.Scheme && at.Host == named.Host {
			bearer, err := endpoint.Bearer(r.bearer)
			if err != nil {
				return nil, fmt.Errorf("fetching %s: %w", at.Redacted(), err)
			}
			request.Header.Set("Authorization", "Bearer "+bearer)
		}
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetching keys: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching %s: status %s", at.Redacted(), answer.Status)
	}
	return endpoint.Read(answer.Body, maxDocument, at.Redacted())
}
