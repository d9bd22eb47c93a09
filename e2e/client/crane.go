package client

import (
	"context"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/tidewaiter/tidewaiter/e2e/image"
)

// Crane is crane, and also the library that cosign, ko and kaniko use.
var Crane = Kind{
	Name:    "crane",
	New:     func(testing.TB) Client { return &craneClient{auth: authn.Anonymous} },
	Version: module("github.com/google/go-containerregistry"),
}

type craneClient struct{ auth authn.Authenticator }

// Login only stores the credentials, as `crane auth login` does.
func (c *craneClient) Login(_ context.Context, _, name, password string) error {
	c.auth = &authn.Basic{Username: name, Password: password}
	return nil
}

func (c *craneClient) Keep(_, _, refreshToken string) error {
	c.auth = authn.FromConfig(authn.AuthConfig{IdentityToken: refreshToken})
	return nil
}

func (c *craneClient) options(ctx context.Context) []crane.Option {
	return []crane.Option{crane.WithContext(ctx), crane.WithAuth(c.auth)}
}

func (c *craneClient) Push(ctx context.Context, to Ref, img *image.Image) (string, error) {
	index, err := layout.ImageIndexFromPath(img.Layout)
	if err != nil {
		return "", err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return "", err
	}
	loaded, err := index.Image(list.Manifests[0].Digest)
	if err != nil {
		return "", err
	}
	return img.Manifest.Digest, crane.Push(loaded, to.String(), c.options(ctx)...)
}

func (c *craneClient) Pull(ctx context.Context, from Ref) (string, error) {
	img, err := crane.Pull(from.String(), c.options(ctx)...)
	if err != nil {
		return "", err
	}
	if err := validate.Image(img); err != nil { // reads the whole image
		return "", err
	}
	digest, err := img.Digest()
	return digest.String(), err
}

func (c *craneClient) Copy(ctx context.Context, from, to Ref) error {
	return crane.Copy(from.String(), to.String(), c.options(ctx)...)
}

func (c *craneClient) Tags(ctx context.Context, of Ref) ([]string, error) {
	return crane.ListTags(of.Host+"/"+of.Repository, c.options(ctx)...)
}

func (c *craneClient) Delete(ctx context.Context, what Ref) error {
	return crane.Delete(what.String(), c.options(ctx)...)
}

func (c *craneClient) Catalog(ctx context.Context, host string) ([]string, error) {
	return crane.Catalog(host, c.options(ctx)...)
}
