// Package registryapi calls the HTTP API of a registry: it lists repositories and tags, and reads,
// writes and deletes manifests. The tokens for these calls are signed by Tidewaiter itself, so no
// password is needed and no token endpoint is called.
//
// A registry can be slow or hostile. A Client connects only to the host of the registry's URL,
// also after a redirect and for the next page of a list. It limits the rate of the requests, the
// time of each request, the size of each response, and the number of pages.
package registryapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/scope"
)

var (
	// ErrNotFound means that the registry does not have the repository or the manifest.
	ErrNotFound = errdef.ErrNotFound
	// ErrInvalidName means that a name is no valid name of a repository or tag. A registry can list
	// such names, but no request can contain them.
	ErrInvalidName = errdef.ErrInvalidReference
)

const (
	maxList     = 32 << 20 // bytes of a page; registry 2.8 sends all tags on one page
	maxManifest = 4 << 20  // bytes; registries accept no larger manifest
	maxPages    = 10_000   // of a list
	pageSize    = 1000     // names that are requested for a page
	timeout     = 2 * time.Minute
)

// Options configures a Client.
type Options struct {
	Service string // the registry's service name, for errors
	URL     string // of the registry: https://registry.example.com
	CA      string // a PEM file; "": the certificate authorities of the system
	// Plain permits http:// to other machines. Anyone on the network path can then read the tokens,
	// and delete or replace manifests with them.
	Plain bool
	// Sign returns a token with the given rights, and the time until which the registry accepts the
	// token. A push needs the rights pull and push.
	Sign func(rights scope.Scope) (signed string, until time.Time, err error)
	// Rate is the maximum number of requests in a second; 0: no limit.
	Rate float64
	Now  func() time.Time
}

// Client calls a registry. Only one goroutine may use it.
type Client struct {
	service  string
	remote   *remote.Registry
	maxPages int // of a list
}

// Manifest describes a manifest.
type Manifest struct {
	Digest    string
	MediaType string
	Size      int64 // bytes
}

// New returns a Client. It does not connect to the registry.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	switch {
	case o.URL == "":
		return nil, fmt.Errorf("the config does not have the URL of registry %s: add url to the registry", o.Service)
	case err != nil || u.Host == "":
		return nil, fmt.Errorf("the URL of registry %s is invalid", o.Service)
	case strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("the URL of registry %s has a path, which is not supported: remove %s from url", o.Service, u.Path)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("the URL of registry %s must begin with https://", o.Service)
	case !endpoint.Safe(u) && !o.Plain:
		return nil, fmt.Errorf("tokens would travel unencrypted to registry %s: use https:// in its url, or an address of this machine (or plain: true to allow it)", o.Service)
	}
	roots, err := endpoint.Roots(o.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authorities of registry %s: %w", o.Service, err)
	}
	reg, err := remote.NewRegistry(u.Host)
	if err != nil {
		return nil, fmt.Errorf("the URL of registry %s is invalid: %w", o.Service, err)
	}
	o.Now = clock.Wall(o.Now)
	t := &transport{host: u, o: o, next: retry.NewTransport(dialer(roots))}
	reg.PlainHTTP = u.Scheme == "http"
	reg.Client = &http.Client{Transport: t, Timeout: timeout, CheckRedirect: t.checkRedirect}
	reg.MaxMetadataBytes = maxList
	reg.RepositoryListPageSize, reg.TagListPageSize, reg.TagListMaxPages = pageSize, pageSize, maxPages
	return &Client{o.Service, reg, maxPages}, nil
}

// Repositories passes the names of the repositories to the function found, a page at a time. The
// order of the names is that of the registry. The list has repositories without manifests, too.
func (c *Client) Repositories(ctx context.Context, found func(names []string) error) error {
	pages := 0
	err := c.remote.Repositories(ctx, "", func(names []string) error {
		if pages++; pages > c.maxPages {
			return fmt.Errorf("%w: more than %d", errdef.ErrTooManyPages, c.maxPages)
		}
		return found(names)
	})
	return c.explain(err, "listing the repositories of registry %s", c.service)
}

// Tags passes the tags of a repository to the function found, a page at a time. The error is
// ErrNotFound if the registry does not have the repository.
func (c *Client) Tags(ctx context.Context, repository string, found func(tags []string) error) error {
	r, err := c.repository(ctx, repository)
	if err == nil {
		err = r.Tags(ctx, "", found)
	}
	return c.explain(err, "listing the tags of %s at %s", repository, c.service)
}

// Head returns the manifest with a tag or a digest, or ErrNotFound. It does not read the content of
// the manifest.
func (c *Client) Head(ctx context.Context, repository, reference string) (Manifest, error) {
	r, err := c.repository(ctx, repository)
	var d ocispec.Descriptor
	if err == nil {
		d, err = r.Manifests().Resolve(ctx, reference)
	}
	return Manifest{d.Digest.String(), d.MediaType, d.Size}, c.explain(err, "reading manifest %s of %s at %s", reference, repository, c.service)
}

// Get returns the manifest with a tag or a digest, and its verified content, or ErrNotFound.
func (c *Client) Get(ctx context.Context, repository, reference string) (Manifest, []byte, error) {
	m, text, err := c.get(ctx, repository, reference)
	return m, text, c.explain(err, "reading manifest %s of %s at %s", reference, repository, c.service)
}

func (c *Client) get(ctx context.Context, repository, reference string) (Manifest, []byte, error) {
	r, err := c.repository(ctx, repository)
	if err != nil {
		return Manifest{}, nil, err
	}
	d, body, err := r.Manifests().FetchReference(ctx, reference)
	if err != nil {
		return Manifest{}, nil, err
	}
	defer body.Close()
	if d.Size > maxManifest {
		return Manifest{}, nil, fmt.Errorf("the manifest has %d bytes; the maximum is %d", d.Size, maxManifest)
	}
	text, err := content.ReadAll(body, d) // verifies the digest and the size
	return Manifest{d.Digest.String(), d.MediaType, d.Size}, text, err
}

// Delete deletes a manifest by its digest, with all its tags. The error is ErrNotFound if the
// registry does not have the manifest.
func (c *Client) Delete(ctx context.Context, repository string, m Manifest) error {
	r, err := c.repository(ctx, repository)
	if err == nil {
		err = r.Manifests().Delete(ctx, m.descriptor())
	}
	return c.explain(err, "deleting manifest %s of %s at %s", m.Digest, repository, c.service)
}

// Put writes a manifest with a tag. The text is the content that Get returned.
func (c *Client) Put(ctx context.Context, repository, tag string, m Manifest, text []byte) error {
	r, err := c.repository(ctx, repository)
	if err == nil {
		err = r.Manifests().PushReference(ctx, m.descriptor(), bytes.NewReader(text), tag)
	}
	return c.explain(err, "writing tag %s of %s at %s", tag, repository, c.service)
}

func (m Manifest) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.Digest(m.Digest), Size: m.Size}
}

func (c *Client) repository(ctx context.Context, name string) (registry.Repository, error) {
	r, err := c.remote.Repository(ctx, name)
	if err != nil {
		return nil, err
	}
	// Without this call, the library would read and write an index of referrers for each manifest
	// that has a subject. The caller decides about each manifest, including such indexes.
	if own, ok := r.(*remote.Repository); ok {
		_ = own.SetReferrersCapability(true) // fails only if it was set before
	}
	return r, nil
}

// explain adds the action to an error. For known answers of registries, it also adds a hint.
func (c *Client) explain(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[*errcode.ErrorResponse](err); ok {
		switch answer.StatusCode {
		case http.StatusNotFound:
			err = ErrNotFound
		case http.StatusUnauthorized, http.StatusForbidden:
			err = fmt.Errorf("the registry refuses the token that Tidewaiter signed for itself; the registry's log has the reason: %w", err)
		case http.StatusMethodNotAllowed:
			err = fmt.Errorf("the registry does not permit deletes: set storage.delete.enabled in its config: %w", err)
		}
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
