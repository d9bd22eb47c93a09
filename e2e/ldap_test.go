package e2e

import (
	"fmt"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/engine"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
)

// TestPeopleOfADirectory tests every client and registry with users of a real OpenLDAP. alice and
// bob are in the group of developers, but dora is not. The config lists two search bases for users
// and two for groups. Groups are also found by another attribute of the user.
func TestPeopleOfADirectory(t *testing.T) {
	kinds := []client.Kind{
		client.Docker(engine.Shared(t)),
		client.Podman, client.Skopeo, client.Crane, client.Oras, client.Regctl, client.Helm, client.Containerd,
	}
	versions := []registry.Version{registry.V28, registry.V31}
	tw := withDirectory(t, ldaptest.New(t), versions)
	t.Run("with", func(t *testing.T) {
		for _, v := range versions {
			t.Run("registry "+string(v), func(t *testing.T) {
				r := registry.Start(t, v, trust(tw, "registry-"+string(v)))
				t.Run("and", func(t *testing.T) {
					for _, k := range kinds {
						t.Run(k.Name, func(t *testing.T) {
							t.Parallel()
							developersPushAndPull(t, r, k)
						})
					}
				})
			})
		}
	})
}

func developersPushAndPull(t *testing.T, r *registry.Registry, k client.Kind) {
	ctx := t.Context()
	signedIn := func(name, password string) client.Client {
		c := k.New(t)
		if err := c.Login(ctx, r.Host, name, password); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return c
	}
	alice, bob, dora := signedIn("alice", "wonderland"), signedIn("BOB", "can he fix it"), signedIn("dora", "backpack")
	app := client.Ref{Host: r.Host, Repository: "developers/" + k.Name, Tag: image.Tag}
	format := image.OCI
	if k.Name == client.Crane.Name || k.Name == client.Regctl.Name {
		format = image.Schema2
	}
	digest, err := alice.Push(ctx, app, image.New(t, format))
	if err != nil || r.Tag(app.Repository, app.Tag) != digest {
		t.Fatalf("alice pushed %s: %v", digest, err)
	}
	if got, err := bob.Pull(ctx, app); err != nil || got != digest {
		t.Errorf("bob pulled %s, not %s: %v", got, digest, err)
	}
	if _, err := dora.Pull(ctx, app); err == nil || !refusal.MatchString(err.Error()) {
		t.Errorf("the push of dora, who is not a developer, returned %v", err)
	}
	stranger := k.New(t)
	// Use another name for each client, because repeated failures are rate limited.
	err = stranger.Login(ctx, r.Host, "nobody-with-"+k.Name, "wonderland")
	// This client's login stores credentials without checking them.
	if err == nil {
		_, err = stranger.Pull(ctx, app)
	}
	if err == nil || !refusal.MatchString(err.Error()) {
		t.Errorf("the login of an unknown name returned %v", err)
	}
}

// withDirectory starts a Tidewaiter whose users are in a directory.
func withDirectory(t *testing.T, o *ldaptest.OpenLDAP, versions []registry.Version) *tidewaiter.Tidewaiter {
	t.Helper()
	services := make([]string, len(versions))
	for i, v := range versions {
		services[i] = "registry-" + string(v)
	}
	return tidewaiter.StartWith(t, fmt.Sprintf(`identity:
  - ldap:
      name: corp
      servers: ["ldaps://%s"]
      ca: %q
      bind_dn: %q
      bind_password_file: %q
      user: { base: [%q, "ou=elsewhere,dc=example,dc=com"] }
      groups: { base: ["ou=elsewhere,dc=example,dc=com", %q], filter: "(|(member={dn})(memberUid={attribute:uid}))" }
policy:
  rules:
    - { name: developers, subjects: ["group:dev"], repositories: ["developers/**"], actions: [pull, push] }
`, o.Secure, o.File(ldaptest.CAFile), ldaptest.Reader, o.File(ldaptest.ReaderFile), ldaptest.People, ldaptest.Groups), services...)
}
