package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
)

// TestExampleTokenServer pushes with tokens of examples/tokenserver, which imports only the
// public packages of Tidewaiter.
func TestExampleTokenServer(t *testing.T) {
	program := process.Build(t, "example-tokenserver", "../examples/tokenserver")
	keys, port := filepath.Join(t.TempDir(), "keys"), process.Port(t)
	server := process.Start(t, exec.Command(program, "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--keys", keys, "--service", service))
	realm := fmt.Sprintf("http://localhost:%d/token", port)
	server.Await(t, "the token server", func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, realm+"?service="+service, nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		return res.Body.Close()
	})
	for _, version := range []registry.Version{registry.V28, registry.V31} {
		t.Run(string(version), func(t *testing.T) {
			r := registry.Start(t, version, registry.Options{Realm: realm, Service: service, Issuer: "shop", Roots: filepath.Join(keys, "root.pem")})
			as := func(name, password string) client.Client {
				t.Helper()
				c := client.Crane.New(t)
				if err := c.Login(t.Context(), r.Host, name, password); err != nil {
					t.Fatal(err)
				}
				return c
			}
			ref := client.Ref{Host: r.Host, Repository: "ann/app", Tag: image.Tag}
			img := image.New(t, image.OCI)
			if _, err := as("bob", "can we fix it").Push(t.Context(), ref, img); err == nil || r.Touched(ref.Repository) {
				t.Errorf("bob pushed to ann's repository: %v", err)
			}
			if _, err := as("ann", "wrong").Push(t.Context(), ref, img); err == nil || r.Touched(ref.Repository) {
				t.Errorf("an anonymous push: %v", err)
			}
			ann := as("ann", "wonderland")
			pushed, err := ann.Push(t.Context(), ref, img)
			if err != nil {
				t.Fatal(err)
			}
			if pulled, err := ann.Pull(t.Context(), ref); err != nil || pulled != pushed {
				t.Errorf("pushed %s, pulled %s, %v", pushed, pulled, err)
			}
			if _, err := as("bob", "can we fix it").Pull(t.Context(), ref); err == nil {
				t.Error("bob pulled ann's image")
			}
		})
	}
}
