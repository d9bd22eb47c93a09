package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// TestReconcile checks that the catalog has the repositories and tags of the registry after a
// comparison, although the registry reported no events.
func TestReconcile(t *testing.T) {
	t.Parallel()
	for _, v := range []registry.Version{registry.V28, registry.V31} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			service := "registry-" + string(v)
			tw := tidewaiter.Start(t, service)
			options := trust(tw, service)
			options.Notifications = ""
			r := registry.Start(t, v, options)
			setURL(t, tw, service, "http://"+r.Host)
			c := catalogCheck{tw: tw, registry: r, service: service, admin: client.Crane.New(t)}
			alice := client.Crane.New(t)
			for name, signs := range map[string]client.Client{"alice": alice, "admin": c.admin} {
				if err := signs.Login(t.Context(), r.Host, name, tidewaiter.Password(name)); err != nil {
					t.Fatal(err)
				}
			}
			push := func(repository, tag string) (digest string) {
				t.Helper()
				digest, err := alice.Push(t.Context(), client.Ref{Host: r.Host, Repository: repository, Tag: tag}, image.New(t, image.OCI))
				if err != nil {
					t.Fatal(err)
				}
				return digest
			}
			compare := func(after string, found, missing int64) {
				t.Helper()
				got := reconcile(t, tw, service)
				if want := (reconciled{Found: found, Missing: missing, Complete: true, Entries: 1}); got != want {
					t.Errorf("after %s: %s", after, cmp.Diff(want, got))
				}
				c.awaitEqual(t, after)
			}
			push("team/app", "v1")
			second := push("team/app", "v2")
			push("team/other", "v1")
			compare("three pushes", 3, 0)
			compare("nothing", 0, 0)
			push("team/app", "v1")
			compare("a move of a tag", 1, 0)
			if err := c.admin.Delete(t.Context(), client.Ref{Host: r.Host, Repository: "team/app", Digest: second}); err != nil {
				t.Fatal(err)
			}
			compare("a delete", 0, 2)
			r.Remove(t, "team/other")
			compare("a removal of the repository from the storage", 0, 2)
		})
	}
}

// reconciled is the output of tidewaiter catalog reconcile, with the fields that the tests read.
type reconciled struct {
	Found, Missing, Entries, Failed int64
	Complete                        bool
}

// reconcile runs tidewaiter catalog reconcile.
func reconcile(t *testing.T, tw *tidewaiter.Tidewaiter, service string) (got reconciled) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tidewaiter.Program(t), "catalog", "reconcile", service, "--config", tw.Config, "--output", "json", "--rate", "10000")
	out, err := process.Run(t.Context(), cmd)
	if err == nil {
		err = json.Unmarshal([]byte(out), &got)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got
}

// setURL sets the URL of a registry in the config.
func setURL(t *testing.T, tw *tidewaiter.Tidewaiter, service, url string) {
	t.Helper()
	text, err := os.ReadFile(tw.Config)
	if err != nil {
		t.Fatal(err)
	}
	before := `{ service: "` + service + `",`
	if strings.Count(string(text), before) != 1 {
		t.Fatalf("the config does not have %s once", before)
	}
	changed := strings.Replace(string(text), before, before+` url: "`+url+`",`, 1)
	if err := os.WriteFile(tw.Config, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}
