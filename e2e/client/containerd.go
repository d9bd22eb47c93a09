package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/tidewaiter/tidewaiter/e2e/image"
)

// Containerd is containerd's resolver.
var Containerd = Kind{
	Name:    "containerd",
	New:     func(testing.TB) Client { return &containerdClient{} },
	Version: module("github.com/containerd/containerd/v2"),
}

type containerdClient struct{ name, password string }

// Login only stores the credentials, because the client gives them to the resolver at each use.
func (c *containerdClient) Login(_ context.Context, _, name, password string) error {
	c.name, c.password = name, password
	return nil
}

// Keep stores a refresh token. The name stays empty, because the resolver treats a secret without
// a name as a refresh token.
func (c *containerdClient) Keep(_, _, refreshToken string) error {
	c.name, c.password = "", refreshToken
	return nil
}

func (c *containerdClient) resolver() remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: docker.ConfigureDefaultRegistries(
			docker.WithPlainHTTP(docker.MatchLocalhost),
			docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthCreds(
				func(string) (string, string, error) { return c.name, c.password, nil },
			))),
		),
	})
}

func (c *containerdClient) Push(ctx context.Context, to Ref, img *image.Image) (string, error) {
	held := store{blobs: map[digest.Digest][]byte{}}
	for _, b := range []image.Blob{img.Manifest, img.Config, img.Layer} {
		held.blobs[digest.Digest(b.Digest)] = b.Data
	}
	root := ocispec.Descriptor{MediaType: img.Manifest.MediaType, Digest: digest.Digest(img.Manifest.Digest), Size: img.Manifest.Size}
	return img.Manifest.Digest, c.push(ctx, to, root, held)
}

func (c *containerdClient) push(ctx context.Context, to Ref, root ocispec.Descriptor, held store) error {
	pusher, err := c.resolver().Pusher(ctx, to.String()+"@"+root.Digest.String())
	if err != nil {
		return err
	}
	return remotes.PushContent(ctx, pusher, root, held, nil, platforms.All, nil)
}

func (c *containerdClient) Pull(ctx context.Context, from Ref) (string, error) {
	root, _, err := c.fetch(ctx, from)
	return root.Digest.String(), err
}

func (c *containerdClient) fetch(ctx context.Context, from Ref) (ocispec.Descriptor, store, error) {
	held := store{blobs: map[digest.Digest][]byte{}}
	resolver := c.resolver()
	_, root, err := resolver.Resolve(ctx, from.String())
	if err != nil {
		return root, held, err
	}
	fetcher, err := resolver.Fetcher(ctx, from.String())
	if err != nil {
		return root, held, err
	}
	var manifest ocispec.Manifest
	text, err := fetch(ctx, fetcher, root)
	if err != nil {
		return root, held, err
	}
	held.blobs[root.Digest] = text
	if err := json.Unmarshal(text, &manifest); err != nil {
		return root, held, err
	}
	for _, d := range append(manifest.Layers, manifest.Config) {
		if held.blobs[d.Digest], err = fetch(ctx, fetcher, d); err != nil {
			return root, held, err
		}
	}
	return root, held, nil
}

// Copy pulls the image and pushes it. In a label of the content, containerd records from which
// repository the content was pulled, so the push mounts blobs from that repository.
func (c *containerdClient) Copy(ctx context.Context, from, to Ref) error {
	root, held, err := c.fetch(ctx, from)
	if err != nil {
		return err
	}
	held.labels = map[string]string{"containerd.io/distribution.source.localhost": from.Repository}
	return c.push(ctx, to, root, held)
}

func (c *containerdClient) Tags(context.Context, Ref) ([]string, error) { return nil, ErrUnsupported }
func (c *containerdClient) Delete(context.Context, Ref) error           { return ErrUnsupported }
func (c *containerdClient) Catalog(context.Context, string) ([]string, error) {
	return nil, ErrUnsupported
}

func fetch(ctx context.Context, f remotes.Fetcher, d ocispec.Descriptor) ([]byte, error) {
	body, err := f.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(data); got != d.Digest {
		return nil, fmt.Errorf("asked for %s, got %s", d.Digest, got)
	}
	return data, nil
}

// store implements the part of a containerd content store that a push uses.
type store struct {
	blobs  map[digest.Digest][]byte
	labels map[string]string
}

func (s store) ReaderAt(_ context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	data, ok := s.blobs[d.Digest]
	if !ok {
		return nil, errdefs.ErrNotFound
	}
	return readerAt{bytes.NewReader(data)}, nil
}

func (s store) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	data, ok := s.blobs[d]
	if !ok {
		return content.Info{}, errdefs.ErrNotFound
	}
	return content.Info{Digest: d, Size: int64(len(data)), Labels: maps.Clone(s.labels)}, nil
}

type readerAt struct{ *bytes.Reader }

func (readerAt) Close() error { return nil }
