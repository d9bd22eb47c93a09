// Package client drives the clients that registry users run.
//
// docker, podman and skopeo run as programs. crane, oras, regctl and Helm are called as libraries,
// in the same way as their commands call these libraries. ctr, nerdctl, the CRI plugin and
// BuildKit use containerd's resolver to push and pull.
package client

import (
	"context"
	"errors"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/image"
)

// ErrUnsupported means that a client has no command for an operation.
var ErrUnsupported = errors.New("this client has no such command")

// Client is one user's client with its own stored credentials. A new client is anonymous.
// Errors have the client's own text.
type Client interface {
	// Login signs in with a name and a password and stores both. Some clients do not check the
	// password before its first use.
	Login(ctx context.Context, host, name, password string) error
	// Keep stores a refresh token instead of a password. docker login writes the same form of
	// config file. Keep sends no request.
	Keep(host, name, refreshToken string) error
	// Push pushes an image and returns the digest of its manifest.
	Push(ctx context.Context, to Ref, img *image.Image) (digest string, err error)
	// Pull pulls a manifest and all objects to which it refers. It returns the manifest's digest.
	Pull(ctx context.Context, from Ref) (digest string, err error)
	// Copy copies between two repositories of one registry, with a mount if the client supports
	// it.
	Copy(ctx context.Context, from, to Ref) error
	// Tags lists the tags of a repository.
	Tags(ctx context.Context, of Ref) ([]string, error)
	// Delete deletes a manifest, by digest.
	Delete(ctx context.Context, what Ref) error
	// Catalog lists the repositories of a registry.
	Catalog(ctx context.Context, host string) ([]string, error)
}

// Keeper is a client whose login may store a refresh token instead of the password.
type Keeper interface {
	// Kept returns the refresh token that Login stored, or "" if Login stored a password.
	Kept(host string) (refreshToken string, err error)
}

// Ref refers to an image in a registry by tag or by digest.
type Ref struct{ Host, Repository, Tag, Digest string }

func (r Ref) String() string {
	s := r.Host + "/" + r.Repository
	switch {
	case r.Digest != "":
		return s + "@" + r.Digest
	case r.Tag != "":
		return s + ":" + r.Tag
	}
	return s
}

// Kind is a kind of client. If the client is not installed, New and Version skip the test, or fail
// it if CI=true.
type Kind struct {
	Name    string
	New     func(testing.TB) Client
	Version func(testing.TB) string // printed in docs/compatibility.md
}
