package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/engine"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// TestCatalog checks that the catalog has the repositories and tags that the registry itself
// lists. It checks this after each push, pull, copy and delete, and after a tag is moved.
func TestCatalog(t *testing.T) {
	t.Parallel()
	kinds := []client.Kind{client.Docker(engine.Shared(t)), client.Skopeo, client.Crane}
	for _, v := range []registry.Version{registry.V28, registry.V30, registry.V31} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			service := "registry-" + string(v)
			tw := tidewaiter.Start(t, service)
			r := registry.Start(t, v, trust(tw, service))
			t.Run("with", func(t *testing.T) {
				for _, k := range kinds {
					t.Run(k.Name, func(t *testing.T) {
						c := catalogCheck{tw: tw, registry: r, service: service, admin: client.Crane.New(t)}
						if err := c.admin.Login(t.Context(), r.Host, "admin", tidewaiter.Password("admin")); err != nil {
							t.Fatal(err)
						}
						c.run(t, k)
					})
				}
			})
		})
	}
}

// catalogCheck compares the catalog with a registry.
type catalogCheck struct {
	tw       *tidewaiter.Tidewaiter
	registry *registry.Registry
	service  string
	admin    client.Client // may list and delete everything
}

func (c *catalogCheck) run(t *testing.T, k client.Kind) {
	ctx := t.Context()
	alice, bob := k.New(t), k.New(t)
	for name, signs := range map[string]client.Client{"alice": alice, "bob": bob} {
		if err := signs.Login(ctx, c.registry.Host, name, tidewaiter.Password(name)); err != nil {
			t.Fatal(err)
		}
	}
	app := client.Ref{Host: c.registry.Host, Repository: "team/" + k.Name + "/app", Tag: "v1"}
	other, copied := app, client.Ref{Host: c.registry.Host, Repository: "team/" + k.Name + "/copy", Tag: "v1"}
	other.Tag = "v2"
	push := func(to client.Ref) string {
		t.Helper()
		digest, err := alice.Push(ctx, to, image.New(t, format(k)))
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}

	first := push(app)
	c.awaitEqual(t, "a push")
	push(other)
	c.awaitEqual(t, "a push of another tag")
	if err := alice.Copy(ctx, app, copied); err != nil {
		t.Fatal(err)
	}
	c.awaitEqual(t, "a copy")
	second := push(app)
	if m := c.showManifest(t, app.Repository+"@"+first); !m.Present || first == second {
		t.Errorf("the manifest that had the tag: %+v", m)
	}
	c.awaitEqual(t, "a move of the tag")

	if _, err := bob.Pull(ctx, app); err != nil {
		t.Fatal(err)
	}
	process.Await(t, "the pull in the catalog", func(context.Context) error {
		m := c.showManifest(t, app.Repository+":v1")
		if m.Digest != second || m.Pulls == 0 || m.Pulled == nil || m.Pulled.By != "bob" || m.Pushed == nil || m.Pushed.By != "alice" {
			return fmt.Errorf("%+v", m)
		}
		return nil
	})
	c.awaitEqual(t, "a pull")

	gone := app
	gone.Tag, gone.Digest = "", second
	if err := c.admin.Delete(ctx, gone); err != nil {
		t.Fatal(err)
	}
	c.awaitEqual(t, "a delete")
	if m := c.showManifest(t, app.Repository+"@"+second); m.Present || m.Deleted == nil || m.Deleted.By != "admin" {
		t.Errorf("the deleted manifest: %+v", m)
	}
	push(app)
	c.awaitEqual(t, "a push after the delete")
	if c.registry.Version != registry.V28 { // 2.8 deletes only by digest
		if err := c.admin.Delete(ctx, other); err != nil {
			t.Fatal(err)
		}
		c.awaitEqual(t, "a delete of a tag")
	}
}

// awaitEqual waits until the catalog has the tags that the registry lists, with the digests in the
// registry's storage.
func (c *catalogCheck) awaitEqual(t *testing.T, after string) {
	t.Helper()
	repositories, err := c.admin.Catalog(t.Context(), c.registry.Host)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for _, name := range repositories {
		tags, err := c.admin.Tags(t.Context(), client.Ref{Host: c.registry.Host, Repository: name})
		// the repository has no tag
		if err != nil && !strings.Contains(err.Error(), "NAME_UNKNOWN") {
			t.Fatal(err)
		}
		for _, tag := range tags {
			want[name+":"+tag] = c.registry.Tag(name, tag)
		}
	}
	process.Await(t, "the catalog after "+after, func(context.Context) error {
		got := make(map[string]string)
		var listed []struct{ Name string }
		c.command(t, &listed, "list")
		for _, r := range listed {
			var tags []struct {
				Name     string
				Manifest catalogManifest
			}
			c.command(t, &tags, "tags", r.Name)
			for _, tag := range tags {
				got[r.Name+":"+tag.Name] = tag.Manifest.Digest
				if !tag.Manifest.Present || !c.registry.Manifest(r.Name, tag.Manifest.Digest) {
					return fmt.Errorf("%s:%s: %+v", r.Name, tag.Name, tag.Manifest)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
}

// catalogManifest has the fields of a manifest in the catalog that the tests read.
type catalogManifest struct {
	Digest                  string
	Present                 bool
	Size, Pulls             int64
	Pushed, Pulled, Deleted *struct {
		Time time.Time
		By   string
	}
}

// showManifest returns a manifest of the catalog.
func (c *catalogCheck) showManifest(t *testing.T, reference string) catalogManifest {
	t.Helper()
	var shown struct{ Manifest catalogManifest }
	c.command(t, &shown, "show", reference)
	return shown.Manifest
}

// command runs a command of the catalog and decodes its output.
func (c *catalogCheck) command(t *testing.T, into any, args ...string) {
	t.Helper()
	args = append(append([]string{"catalog"}, args...), "--registry", c.service, "--config", c.tw.Config, "--output", "json")
	out, err := process.Run(t.Context(), exec.CommandContext(t.Context(), tidewaiter.Program(t), args...))
	if err == nil {
		err = json.Unmarshal([]byte(out), into)
	}
	if err != nil {
		t.Fatalf("tidewaiter %s: %v: %s", strings.Join(args, " "), err, out)
	}
}
