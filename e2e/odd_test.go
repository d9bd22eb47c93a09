package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// oddPasswords signs in with passwords that contain characters which clients must encode.
func oddPasswords(t *testing.T, kinds []client.Kind) {
	passwords := map[string]string{
		"colons":     ":col:ons: at:both ends:",
		"escapes":    `50% & "more" + 'that' = \n \\ #1?/%41`,
		"umlauts":    "Zürich, Ωmega, €uro, 日本, 🚢",
		"spaces":     "  two before and two behind  ",
		"very-long":  strings.Repeat("a very long one.", 15),
		"like-token": "eyJhbGciOiJFUzI1NiJ9 is no token",
	}
	tw := tidewaiter.StartWith(t, `identity:
  - accounts: {}
policy:
  rules:
    - { name: own, subjects: [signed-in], repositories: ["${user}/**"], actions: [pull, push] }
`, credentialsService)
	for user, password := range passwords {
		tw.Command(t, password, "user", "add", user, "--password-stdin")
	}
	r := registry.Start(t, registry.V31, trust(tw, credentialsService))
	for _, k := range kinds {
		t.Run(k.Name, func(t *testing.T) {
			for user, password := range passwords {
				if user == "spaces" && k.Name == "docker" {
					continue // docker login trims spaces
				}
				c := k.New(t)
				if err := c.Login(t.Context(), r.Host, user, password); err != nil {
					t.Errorf("%s: %v", user, err)
					continue
				}
				if k.Name != client.Crane.Name && k.Name != client.Containerd.Name {
					continue // the login of this client has already requested a token
				}
				to := client.Ref{Host: r.Host, Repository: user + "/" + k.Name, Tag: image.Tag}
				if _, err := c.Push(t.Context(), to, image.New(t, format(k))); err != nil {
					t.Errorf("%s: %v", user, err)
				}
			}
		})
	}
}

// oddServices pushes to registries whose service names have characters that clients must encode.
func oddServices(t *testing.T, kinds []client.Kind) {
	services := []string{"Docker registry", "registry.example.com:8443", "https://registry.example.com/v2/?a=b&c=d", "50% more + #1"}
	tw := tidewaiter.Start(t, services...)
	for i, service := range services {
		// The subtest's name does not contain the service name, because regctl cannot read a
		// folder with such a name.
		t.Run(fmt.Sprintf("name %d", i), func(t *testing.T) {
			t.Parallel()
			v := []registry.Version{registry.V28, registry.V31}[i%2]
			r := registry.Start(t, v, trust(tw, service))
			for _, k := range kinds {
				t.Run(k.Name, func(t *testing.T) {
					alice := k.New(t)
					if err := alice.Login(t.Context(), r.Host, "alice", tidewaiter.Password("alice")); err != nil {
						t.Fatal(err)
					}
					to := client.Ref{Host: r.Host, Repository: "team/" + k.Name, Tag: image.Tag}
					digest, err := alice.Push(t.Context(), to, image.New(t, format(k)))
					if err != nil {
						t.Fatal(err)
					}
					if stored := r.Tag(to.Repository, to.Tag); stored != digest {
						t.Errorf("pushed %s, the registry has %q", digest, stored)
					}
				})
			}
		})
	}
}

// TestMirrors pulls through registries that mirror a private registry. The configs of the mirrors
// have the credentials. docs/mirrors.md lists the realms to which a mirror sends its credentials.
func TestMirrors(t *testing.T) {
	const service = "registry.example.com"
	tw := tidewaiter.Start(t, service)
	f := newFront(t, tw)
	together := f.start(t, registry.V31, tw, service)
	apart := registry.Start(t, registry.V31, trust(tw, service))
	for _, tt := range []struct {
		mirror registry.Version
		of     string // host
		from   *registry.Registry
		works  bool
	}{
		{registry.V28, f.host, together, true},
		{registry.V31, f.host, together, true},
		{registry.V28, apart.Host, apart, true},
		// A mirror of version 3.1 sends its credentials only to a realm on the host and port of
		// the registry, or in its registrable domain. Here the port differs, and localhost has no
		// such domain.
		{registry.V31, apart.Host, apart, false},
	} {
		t.Run(fmt.Sprintf("%s of a registry with the realm at its own host %v", tt.mirror, tt.from == together), func(t *testing.T) {
			img := pair{tw, tt.from, service}.push(t, "team/mirrored")
			mirror := registry.StartConfig(t, tt.mirror, fmt.Sprintf(`version: 0.1
storage: { filesystem: { rootdirectory: %s } }
http: { addr: %q }
proxy: { remoteurl: "http://%s", username: bob, password: %q }
`, registry.Storage, registry.Address, tt.of, tidewaiter.Password("bob")))
			got, err := client.Crane.New(t).Pull(t.Context(), client.Ref{Host: mirror.Host, Repository: "team/mirrored", Tag: image.Tag})
			if works := err == nil && got == img.Manifest.Digest; works != tt.works {
				t.Errorf("whether pulling through the mirror works: %v, want %v: %q, %v", works, tt.works, got, err)
			}
		})
	}
}
