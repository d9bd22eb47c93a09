package client

import (
	"context"
	"testing"
	"time"

	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/scheme/reg"
	"github.com/regclient/regclient/types/ref"

	"github.com/tidewaiter/tidewaiter/e2e/image"
)

// Regctl is the client regctl.
var Regctl = Kind{
	Name:    "regctl",
	New:     func(t testing.TB) Client { return &regctlClient{scratch: t.TempDir()} },
	Version: module("github.com/regclient/regclient"),
}

type regctlClient struct {
	scratch               string // folder for pulled images
	name, password, token string
}

func (r *regctlClient) client(host string) *regclient.RegClient {
	return regclient.New(
		regclient.WithConfigHost(config.Host{Name: host, TLS: config.TLSDisabled, User: r.name, Pass: r.password, Token: r.token}),
		regclient.WithUserAgent("regclient/regctl"),
		regclient.WithRegOpts(reg.WithDelay(10*time.Millisecond, time.Second)),
	)
}

// Login stores the new credentials and sends a ping with them, as `regctl registry login` does.
// The credentials stay stored even if the ping fails.
func (r *regctlClient) Login(ctx context.Context, host, name, password string) error {
	r.name, r.password = name, password
	h, err := ref.NewHost(host)
	if err != nil {
		return err
	}
	_, err = r.client(host).Ping(ctx, h)
	return err
}

func (r *regctlClient) Keep(_, name, refreshToken string) error {
	r.name, r.token = name, refreshToken
	return nil
}

func (r *regctlClient) copy(ctx context.Context, host, from, to string) (string, error) {
	source, err := ref.New(from)
	if err != nil {
		return "", err
	}
	target, err := ref.New(to)
	if err != nil {
		return "", err
	}
	c := r.client(host)
	defer c.Close(ctx, target)
	if err := c.ImageCopy(ctx, source, target); err != nil {
		return "", err
	}
	m, err := c.ManifestHead(ctx, target)
	if err != nil {
		return "", err
	}
	return m.GetDescriptor().Digest.String(), nil
}

func (r *regctlClient) Push(ctx context.Context, to Ref, img *image.Image) (string, error) {
	return r.copy(ctx, to.Host, "ocidir://"+img.Layout+":"+image.Tag, to.String())
}

func (r *regctlClient) Pull(ctx context.Context, from Ref) (string, error) {
	return r.copy(ctx, from.Host, from.String(), "ocidir://"+r.scratch+"/"+from.Repository+":"+from.Tag)
}

func (r *regctlClient) Copy(ctx context.Context, from, to Ref) error {
	_, err := r.copy(ctx, from.Host, from.String(), to.String())
	return err
}

func (r *regctlClient) Tags(ctx context.Context, of Ref) ([]string, error) {
	repository, err := ref.New(of.Host + "/" + of.Repository)
	if err != nil {
		return nil, err
	}
	list, err := r.client(of.Host).TagList(ctx, repository)
	if err != nil {
		return nil, err
	}
	return list.GetTags()
}

func (r *regctlClient) Delete(ctx context.Context, what Ref) error {
	manifest, err := ref.New(what.String())
	if err != nil {
		return err
	}
	c := r.client(what.Host)
	defer c.Close(ctx, manifest)
	return c.ManifestDelete(ctx, manifest)
}

func (r *regctlClient) Catalog(ctx context.Context, host string) ([]string, error) {
	list, err := r.client(host).RepoList(ctx, host)
	if err != nil {
		return nil, err
	}
	return list.GetRepos()
}
