package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// TestCleanup deletes manifests from a registry and sets tags back. The registry reports no events.
// The test reports pushes of some days ago, because younger manifests are not deleted.
func TestCleanup(t *testing.T) {
	t.Parallel()
	for _, v := range []registry.Version{registry.V28, registry.V31} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			service := "registry-" + string(v)
			tw := tidewaiter.Start(t, service)
			options := trust(tw, service)
			options.Notifications = ""
			c := &cleanup{tw: tw, registry: registry.Start(t, v, options), service: service}
			setURL(t, tw, service, "http://"+c.registry.Host)
			c.run(t)
		})
	}
}

type cleanup struct {
	tw       *tidewaiter.Tidewaiter
	registry *registry.Registry
	service  string
}

const cleanedUp = "team/app"

func (c *cleanup) run(t *testing.T) {
	before, after, signature := c.pushImage(t, "latest", 20), c.pushImage(t, "latest", 3), ""
	index, children := c.pushIndex(t, "multi", 20)
	signature = c.pushImage(t, strings.Replace(after, ":", "-", 1)+".sig", 20)

	// A tag is set back, and set to the newer manifest again.
	for _, to := range []string{before, after} {
		var moved struct{ Digest string }
		c.command(t, &moved, "rollback", cleanedUp+":latest", "--to", to)
		if c.registry.Tag(cleanedUp, "latest") != to {
			t.Fatalf("latest is not %s", to)
		}
	}
	var moved struct{ Digest string }
	if c.command(t, &moved, "rollback", cleanedUp+":latest"); moved.Digest != before || c.registry.Tag(cleanedUp, "latest") != before {
		t.Errorf("rolled back to %s, want %s", moved.Digest, before)
	}
	c.command(t, &moved, "rollback", cleanedUp+":latest", "--to", after)

	c.wantDeleted(t, []string{before}, "--untagged", "--older-than", "7d", "--dry-run")
	if !c.registry.Manifest(cleanedUp, before) {
		t.Fatal("--dry-run deleted a manifest")
	}
	c.wantDeleted(t, []string{before}, "--untagged", "--older-than", "7d")
	c.wantDeleted(t, nil, "--untagged", "--older-than", "7d")
	if c.registry.Manifest(cleanedUp, before) {
		t.Errorf("%s was not deleted", before)
	}
	// The signature stays with the image.
	c.wantDeleted(t, append([]string{index}, children...), "--keep", "1")
	for digest, stays := range map[string]bool{after: true, signature: true, index: false, children[0]: false, children[1]: false} {
		if c.registry.Manifest(cleanedUp, digest) != stays {
			t.Errorf("%s: present is %v, want %v", digest, !stays, stays)
		}
	}
	if got := reconcile(t, c.tw, c.service); got.Found+got.Missing != 0 {
		t.Errorf("the catalog differs from the registry: %+v", got)
	}
}

// wantDeleted runs tidewaiter catalog delete, and compares the digests that it prints.
func (c *cleanup) wantDeleted(t *testing.T, want []string, args ...string) {
	t.Helper()
	var deleted []struct{ Digest string }
	c.command(t, &deleted, append([]string{"delete", "team/**"}, args...)...)
	var got []string
	for _, m := range deleted {
		got = append(got, m.Digest)
	}
	if len(got) > 0 && len(want) > 0 && got[0] != want[0] {
		t.Errorf("%s is deleted first, want %s", got[0], want[0])
	}
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), got); diff != "" {
		t.Errorf("%v: %s", args, diff)
	}
}

func (c *cleanup) command(t *testing.T, into any, args ...string) {
	t.Helper()
	args = append(append([]string{"catalog"}, args...), "--config", c.tw.Config, "--output", "json", "--rate", "10000")
	out, err := process.Run(t.Context(), exec.CommandContext(t.Context(), tidewaiter.Program(t), args...))
	if err == nil {
		err = json.Unmarshal([]byte(out), into)
	}
	if err != nil {
		t.Fatalf("tidewaiter %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (c *cleanup) reference(t *testing.T, tag string) (name.Reference, remote.Option) {
	t.Helper()
	ref, err := name.ParseReference(c.registry.Host + "/" + cleanedUp + ":" + tag)
	if err != nil {
		t.Fatal(err)
	}
	return ref, remote.WithAuth(&authn.Basic{Username: "alice", Password: tidewaiter.Password("alice")})
}

// pushImage pushes an image and reports that it was pushed some days ago.
func (c *cleanup) pushImage(t *testing.T, tag string, days int) (digest string) {
	t.Helper()
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, auth := c.reference(t, tag)
	if err := remote.Write(ref, img, auth); err != nil {
		t.Fatal(err)
	}
	return c.report(t, img, tag, days)
}

// pushIndex pushes an index of two images. It reports that the index and the images were pushed
// some days ago.
func (c *cleanup) pushIndex(t *testing.T, tag string, days int) (digest string, children []string) {
	t.Helper()
	index, err := random.Index(100, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, auth := c.reference(t, tag)
	if err := remote.WriteIndex(ref, index, auth); err != nil {
		t.Fatal(err)
	}
	content, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range content.Manifests {
		img, err := index.Image(child.Digest)
		if err != nil {
			t.Fatal(err)
		}
		children = append(children, c.report(t, img, "", days))
	}
	return c.report(t, index, tag, days), children
}

// report reports that an image or index was pushed some days ago.
func (c *cleanup) report(t *testing.T, what interface{ Digest() (v1.Hash, error) }, tag string, days int) (digest string) {
	t.Helper()
	hash, err := what.Digest()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Duration(days) * 24 * time.Hour).UTC().Format(time.RFC3339Nano)
	body := fmt.Sprintf(`{"events":[{"id":"%s %s","timestamp":%q,"action":"push","actor":{"name":"alice"},"target":
		{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":7,"repository":%q,"tag":%q}}]}`, hash, tag, at, hash, cleanedUp, tag)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.tw.URL+"/notifications", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", c.tw.Authorization(c.service))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the event got %s", res.Status)
	}
	return hash.String()
}
