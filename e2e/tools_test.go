package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/engine"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// tools tests tools that request tokens in their own way.
func tools(t *testing.T, get func(testing.TB) *engine.Engine) {
	forEachRegistry(t, func(t *testing.T, p pair) {
		journal := p.Journal(t)
		t.Run("BuildKit builds from two private images", func(t *testing.T) {
			p.push(t, "team/base")
			p.push(t, "team/other")
			docker := p.signedIn(t, get(t), "alice")
			docker.write(t, "Dockerfile", fmt.Sprintf("FROM %[1]s/team/other:%[2]s AS other\nFROM %[1]s/team/base:%[2]s\nCOPY --from=other /cargo /other\n", p.Host, image.Tag))
			to := client.Ref{Host: p.Host, Repository: "team/built", Tag: image.Tag}
			docker.build(t, "--pull", "--tag", to.String(), docker.config)
			docker.run(t, "push", to.String())
			if p.Tag(to.Repository, to.Tag) == "" {
				t.Error("the build and the push succeeded, but the registry has no image")
			}
			for _, base := range []string{"team/base", "team/other"} {
				p.awaitDecision(t, journal, "a pull of "+base+" by BuildKit", func(d *tidewaiter.Decision) bool {
					// BuildKit identifies itself as containerd, whose library BuildKit uses, or
					// as buildkit-client.
					return d.Principal.Name == "alice" && regexp.MustCompile(`^(containerd|buildkit)`).MatchString(d.Client) && grants(d, base, "pull")
				})
			}
		})
		t.Run("docker manifest push of images from three repositories", func(t *testing.T) {
			docker := p.signedIn(t, get(t), "alice")
			crane := client.Crane.New(t)
			if err := crane.Login(t.Context(), p.Host, "alice", tidewaiter.Password("alice")); err != nil {
				t.Fatal(err)
			}
			list := client.Ref{Host: p.Host, Repository: "team/list", Tag: image.Tag}
			args := []string{"manifest", "create", "--insecure", list.String()}
			for _, repository := range []string{"team/list", "team/one", "team/two"} {
				of := client.Ref{Host: p.Host, Repository: repository, Tag: "part"}
				if _, err := crane.Push(t.Context(), of, image.New(t, image.Schema2)); err != nil {
					t.Fatal(err)
				}
				args = append(args, of.String())
			}
			docker.run(t, args...)
			docker.run(t, "manifest", "push", "--insecure", list.String())
			if p.Tag(list.Repository, list.Tag) == "" {
				t.Error("pushed, but the registry has no list of images")
			}
		})
		t.Run("kaniko checks first whether it may push", func(t *testing.T) {
			ref, err := name.ParseReference(p.Host + "/team/kaniko:" + image.Tag)
			if err != nil {
				t.Fatal(err)
			}
			keys := keychain{&authn.Basic{Username: "alice", Password: tidewaiter.Password("alice")}}
			if err := remote.CheckPushPermission(ref, keys, userAgent("kaniko/v1.23.2")); err != nil {
				t.Fatal(err)
			}
			img := image.New(t, image.OCI)
			index, err := layout.ImageIndexFromPath(img.Layout)
			if err != nil {
				t.Fatal(err)
			}
			list, err := index.IndexManifest()
			if err != nil {
				t.Fatal(err)
			}
			loaded, err := index.Image(list.Manifests[0].Digest)
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Write(ref, loaded, remote.WithAuthFromKeychain(keys), remote.WithTransport(userAgent("kaniko/v1.23.2"))); err != nil {
				t.Fatal(err)
			}
			if got := p.Tag("team/kaniko", image.Tag); got != img.Manifest.Digest {
				t.Errorf("pushed %s, the registry has %q", img.Manifest.Digest, got)
			}
			bob := keychain{&authn.Basic{Username: "bob", Password: tidewaiter.Password("bob")}}
			if err := remote.CheckPushPermission(ref, bob, userAgent("kaniko/v1.23.2")); err == nil {
				t.Error("bob may only pull, but the check for push succeeded")
			}
		})
		t.Run("Renovate looks for tags and digests", func(t *testing.T) {
			img := p.push(t, "team/renovated")
			tags := p.renovate(t, "/v2/team/renovated/tags/list?n=10000", "team/renovated", "bob")
			if want := `"tags":["` + image.Tag + `"]`; !strings.Contains(string(tags.body), want) {
				t.Errorf("%d %s, want %s", tags.status, tags.body, want)
			}
			manifest := p.renovate(t, "/v2/", "team/renovated", "bob", "/v2/team/renovated/manifests/"+image.Tag)
			if got := manifest.header.Get("Docker-Content-Digest"); got != img.Manifest.Digest {
				t.Errorf("%d, digest %q, want %s", manifest.status, got, img.Manifest.Digest)
			}
			if got := p.renovate(t, "/v2/team/renovated/tags/list?n=10000", "team/renovated", ""); got.status != http.StatusUnauthorized {
				t.Errorf("without a host rule: %d %s", got.status, got.body)
			}
		})
	})
}

// awaitDecision waits until the journal has a decision for which the function matches returns
// true.
func (p pair) awaitDecision(t *testing.T, journal *tidewaiter.Journal, what string, matches func(*tidewaiter.Decision) bool) {
	t.Helper()
	process.Await(t, what+" in the journal", func(context.Context) error {
		var others []string
		for _, e := range journal.Entries() {
			if e.Registry != p.service || e.Decision == nil {
				continue
			}
			if matches(e.Decision) {
				return nil
			}
			others = append(others, fmt.Sprintf("%s by %s: %v", e.Decision.Principal.Name, e.Decision.Client, e.Decision.Results))
		}
		return fmt.Errorf("not found among %q", others)
	})
}

// grants reports whether a decision grants an action.
func grants(d *tidewaiter.Decision, repository, action string) bool {
	for _, r := range d.Results {
		if r.Name == repository && slices.Contains(r.Granted, action) {
			return true
		}
	}
	return false
}

// commandLine is a docker command line of a signed-in user.
type commandLine struct {
	*engine.Engine
	config string // folder
}

func (p pair) signedIn(t *testing.T, docker *engine.Engine, user string) commandLine {
	t.Helper()
	c := commandLine{docker, t.TempDir()}
	cmd := c.Command(t.Context(), c.config, "login", "--username", user, "--password-stdin", p.Host)
	cmd.Stdin = strings.NewReader(tidewaiter.Password(user))
	if _, err := process.Run(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c commandLine) run(t *testing.T, args ...string) {
	t.Helper()
	if _, err := process.Run(t.Context(), c.Command(t.Context(), c.config, args...)); err != nil {
		t.Fatal(err)
	}
}

func (c commandLine) build(t *testing.T, args ...string) {
	t.Helper()
	if _, err := process.Run(t.Context(), c.BuildKit(t.Context(), c.config, args...)); err != nil {
		t.Fatal(err)
	}
}

func (c commandLine) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.config, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// renovate sends the requests of Renovate's docker datasource. The first request, for firstPath,
// has no credentials. The second request is for a token. It has Basic authentication, but no
// parameters for account and client. Its scope is the scope in the challenge, or the repository if
// firstPath is /v2/. The last request is for lastPath, or for firstPath if lastPath is empty. It
// uses the token.
func (p pair) renovate(t *testing.T, firstPath, repository, user string, lastPath ...string) response {
	t.Helper()
	first := p.send(t, "", request{method: http.MethodGet, path: firstPath})
	challenge := first.header.Get("WWW-Authenticate")
	said := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+)="([^"]*)"`).FindAllStringSubmatch(challenge, -1) {
		said[m[1]] = m[2]
	}
	realm, err := url.Parse(said["realm"])
	if err != nil || first.status != http.StatusUnauthorized || said["service"] != p.service {
		t.Fatalf("%d, challenge %q: %v", first.status, challenge, err)
	}
	scope := said["scope"]
	if firstPath == "/v2/" {
		scope = "repository:" + repository + ":pull"
	}
	query := realm.Query()
	query.Add("scope", scope)
	query.Add("service", said["service"])
	realm.RawQuery = query.Encode()
	token := tidewaiter.TokenAt(t, realm.String(), user).Token
	method := http.MethodGet
	if len(lastPath) > 0 {
		method, firstPath = http.MethodHead, lastPath[0]
	}
	return p.send(t, token, request{method: method, path: firstPath, accept: "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"})
}

// keychain returns the credentials of a docker config file for every registry.
type keychain struct{ authn.Authenticator }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.Authenticator, nil }

// userAgent is a transport that sets the User-Agent.
type userAgent string

func (u userAgent) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", string(u))
	return http.DefaultTransport.RoundTrip(r)
}
