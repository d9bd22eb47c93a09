package client

import (
	"context"
	"errors"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/tidewaiter/tidewaiter/e2e/image"
)

// Oras is the client oras.
var Oras = Kind{
	Name:    "oras",
	New:     func(testing.TB) Client { return &orasClient{store: credentials.NewMemoryStore()} },
	Version: module("oras.land/oras-go/v2"),
}

type orasClient struct{ store credentials.Store }

func (o *orasClient) client() *auth.Client {
	c := &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache(), Credential: credentials.Credential(o.store)}
	c.SetUserAgent("oras/1.3.6") // the User-Agent of its command line
	return c
}

func (o *orasClient) registry(host string) (*remote.Registry, error) {
	r, err := remote.NewRegistry(host)
	if err != nil {
		return nil, err
	}
	r.PlainHTTP, r.Client = true, o.client()
	return r, nil
}

func (o *orasClient) repository(ref Ref, client *auth.Client) (*remote.Repository, error) {
	r, err := remote.NewRepository(ref.Host + "/" + ref.Repository)
	if err != nil {
		return nil, err
	}
	r.PlainHTTP, r.Client = true, client
	return r, nil
}

func (o *orasClient) Login(ctx context.Context, host, name, password string) error {
	r, err := o.registry(host)
	if err != nil {
		return err
	}
	return credentials.Login(ctx, o.store, r, auth.Credential{Username: name, Password: password})
}

func (o *orasClient) Keep(host, _, refreshToken string) error {
	return o.store.Put(context.Background(), host, auth.Credential{RefreshToken: refreshToken})
}

func (o *orasClient) Push(ctx context.Context, to Ref, img *image.Image) (string, error) {
	layout, err := oci.New(img.Layout)
	if err != nil {
		return "", err
	}
	repository, err := o.repository(to, o.client())
	if err != nil {
		return "", err
	}
	d, err := oras.Copy(ctx, layout, image.Tag, repository, to.Tag, oras.DefaultCopyOptions)
	return d.Digest.String(), err
}

func (o *orasClient) Pull(ctx context.Context, from Ref) (string, error) {
	repository, err := o.repository(from, o.client())
	if err != nil {
		return "", err
	}
	d, err := oras.Copy(ctx, repository, from.Tag, memory.New(), "", oras.DefaultCopyOptions)
	return d.Digest.String(), err
}

// Copy tries to mount from the source, as `oras cp` does within one registry.
func (o *orasClient) Copy(ctx context.Context, from, to Ref) error {
	client := o.client()
	source, err := o.repository(from, client)
	if err != nil {
		return err
	}
	target, err := o.repository(to, client)
	if err != nil {
		return err
	}
	options := oras.DefaultCopyOptions
	options.MountFrom = func(context.Context, ocispec.Descriptor) ([]string, error) {
		return []string{from.Repository}, nil
	}
	_, err = oras.Copy(ctx, source, from.Tag, target, to.Tag, options)
	return err
}

func (o *orasClient) Tags(ctx context.Context, of Ref) (tags []string, err error) {
	repository, err := o.repository(of, o.client())
	if err != nil {
		return nil, err
	}
	err = repository.Tags(ctx, "", func(page []string) error {
		tags = append(tags, page...)
		return nil
	})
	return tags, err
}

func (o *orasClient) Delete(ctx context.Context, what Ref) error {
	if what.Digest == "" {
		return errors.New("oras deletes by digest")
	}
	repository, err := o.repository(what, o.client())
	if err != nil {
		return err
	}
	d, err := repository.Resolve(ctx, what.Digest)
	if err != nil {
		return err
	}
	return repository.Delete(ctx, d)
}

func (o *orasClient) Catalog(ctx context.Context, host string) (repositories []string, err error) {
	r, err := o.registry(host)
	if err != nil {
		return nil, err
	}
	err = r.Repositories(ctx, "", func(page []string) error {
		repositories = append(repositories, page...)
		return nil
	})
	return repositories, err
}
