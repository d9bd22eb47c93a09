// Package client answers: what do the people who use a registry run?
//
// Each client is used as its own command line uses it. docker, podman and skopeo are run as programs;
// crane, oras, regctl and Helm are called as the libraries that their commands call, and containerd's
// resolver is what ctr, nerdctl, the CRI plugin and BuildKit push and pull with.
package client

import (
	"context"
	"errors"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/image"
)

// ErrUnsupported means that a client has no such command.
var ErrUnsupported = errors.New("this client has no such command")

// Client is one person's use of a client: what it remembers is its own. A new one is anonymous. Errors
// are in the client's own words.
type Client interface {
	// Login shows a name and a password, and remembers them. Some clients only find out later
	// whether they are right.
	Login(ctx context.Context, host, name, password string) error
	// Keep remembers a refresh token in place of a password, as a config file that docker login has
	// written makes this client do. It asks nobody.
	Keep(host, name, refreshToken string) error
	// Push pushes an image, and returns the digest of the manifest that it made of it.
	Push(ctx context.Context, to Ref, img *image.Image) (digest string, err error)
	// Pull fetches a manifest and all that it refers to, and returns the manifest's digest.
	Pull(ctx context.Context, from Ref) (digest string, err error)
	// Copy copies between two repositories of one registry, with a mount where the client knows how.
	Copy(ctx context.Context, from, to Ref) error
	// Tags lists the tags of a repository.
	Tags(ctx context.Context, of Ref) ([]string, error)
	// Delete deletes a manifest, by digest.
	Delete(ctx context.Context, what Ref) error
	// Catalog lists the repositories of a registry.
	Catalog(ctx context.Context, host string) ([]string, error)
}

// Keeper is a client whose login may get a refresh token, and then remembers that alone.
type Keeper interface {
	// Kept returns what Login remembers; "" if it is a password.
	Kept(host string) (refreshToken string, err error)
}

// Ref names an image in a registry, by tag or by digest.
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

// Kind is a client that can be had. New and Version end the test where it cannot.
type Kind struct {
	Name    string
	New     func(testing.TB) Client
	Version func(testing.TB) string // in words
}
