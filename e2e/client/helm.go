package client

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"path"
	"path/filepath"
	"testing"

	"helm.sh/helm/v4/pkg/registry"

	"github.com/tidewaiter/tidewaiter/e2e/image"
)

// Helm is helm, with charts instead of images.
var Helm = Kind{
	Name:    "helm",
	Version: module("helm.sh/helm/v4"),
	New:     func(t testing.TB) Client { return &helmClient{credentials: filepath.Join(t.TempDir(), "config.json")} },
}

type helmClient struct{ credentials string }

func (h *helmClient) client() (*registry.Client, error) {
	return registry.NewClient(
		registry.ClientOptCredentialsFile(h.credentials),
		registry.ClientOptPlainHTTP(),
		registry.ClientOptEnableCache(true),
		registry.ClientOptHTTPClient(&http.Client{}),
	)
}

func (h *helmClient) Login(_ context.Context, host, name, password string) error {
	c, err := h.client()
	if err != nil {
		return err
	}
	return c.Login(host, registry.LoginOptBasicAuth(name, password), registry.LoginOptPlainText(true))
}

func (h *helmClient) Keep(host, name, refreshToken string) error {
	return writeToken(h.credentials, host, name, refreshToken)
}

func (h *helmClient) Push(_ context.Context, to Ref, img *image.Image) (string, error) {
	c, err := h.client()
	if err != nil {
		return "", err
	}
	packed, err := chart(path.Base(to.Repository), to.Tag, img.RootFS)
	if err != nil {
		return "", err
	}
	pushed, err := c.Push(packed, to.String())
	if err != nil {
		return "", err
	}
	return pushed.Manifest.Digest, nil
}

func (h *helmClient) Pull(_ context.Context, from Ref) (string, error) {
	c, err := h.client()
	if err != nil {
		return "", err
	}
	pulled, err := c.Pull(from.String())
	if err != nil {
		return "", err
	}
	return pulled.Manifest.Digest, nil
}

func (h *helmClient) Tags(_ context.Context, of Ref) ([]string, error) {
	c, err := h.client()
	if err != nil {
		return nil, err
	}
	return c.Tags(of.Host + "/" + of.Repository)
}

func (h *helmClient) Copy(context.Context, Ref, Ref) error              { return ErrUnsupported }
func (h *helmClient) Delete(context.Context, Ref) error                 { return ErrUnsupported }
func (h *helmClient) Catalog(context.Context, string) ([]string, error) { return nil, ErrUnsupported }

// chart returns a packed chart with the given content.
func chart(name, version string, content []byte) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, f := range []struct {
		name string
		data []byte
	}{
		{"Chart.yaml", fmt.Appendf(nil, "apiVersion: v2\nname: %s\nversion: %s\n", name, version)},
		{"files/cargo", content},
	} {
		if err := w.WriteHeader(&tar.Header{Name: name + "/" + f.name, Mode: 0o644, Size: int64(len(f.data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
