package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// missingDigest is a digest that no registry has. Registries check the token before they look for
// the digest, so the status of a request for missingDigest shows whether the user is authorized.
const missingDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// TestEveryRepositoryStateForEveryPrincipalAndAction tests the data path with all combinations,
// including blobs by digest. Gitea CVE-2026-27771: for years, anonymous users could pull private
// images. The web page checked access, but the data path did not.
func TestEveryRepositoryStateForEveryPrincipalAndAction(t *testing.T) {
	forEachRegistry(t, func(t *testing.T, p pair) {
		type repository struct {
			name string
			img  *image.Image
		}
		repositories := []repository{
			{"public/app", p.push(t, "public/app")},
			{"public/never-pushed", nil},
			{"team/app", p.push(t, "team/app")},
			{"team/never-pushed", nil},
			{"private/app", p.push(t, "private/app")},
			{"private/never-pushed", nil},
			{"public", p.push(t, "public")},               // only public/… is public
			{"publicity/app", p.push(t, "publicity/app")}, // not below public/
			{"app", p.push(t, "app")},
		}
		emptied := p.push(t, "team/emptied")
		if r := p.sendAs(t, "admin", request{method: http.MethodDelete, path: "/v2/team/emptied/manifests/" + emptied.Manifest.Digest}); r.status != http.StatusAccepted {
			t.Fatalf("deleting: %d", r.status)
		}
		repositories = append(repositories, repository{"team/emptied", emptied})

		// referencePolicy is an independent implementation of the policy.
		referencePolicy := map[string]func(repository string) string{
			"": func(r string) string { return textIf(strings.HasPrefix(r, "public/"), "pull") },
			"alice": func(r string) string {
				return textIf(strings.HasPrefix(r, "public/") || strings.HasPrefix(r, "team/"), "pull push")
			},
			"bob": func(r string) string {
				return textIf(strings.HasPrefix(r, "public/") || strings.HasPrefix(r, "team/"), "pull")
			},
			"admin": func(string) string { return "pull push delete" },
		}

		for _, r := range repositories {
			at := "/v2/" + r.name
			config, layer, manifest := missingDigest, missingDigest, missingDigest
			if r.img != nil {
				config, layer, manifest = r.img.Config.Digest, r.img.Layer.Digest, r.img.Manifest.Digest
			}
			for _, a := range []struct {
				needs string
				request
			}{
				{"pull", request{method: http.MethodGet, path: at + "/manifests/" + image.Tag}},
				{"pull", request{method: http.MethodHead, path: at + "/manifests/" + image.Tag}},
				{"pull", request{method: http.MethodGet, path: at + "/manifests/" + manifest}},
				{"pull", request{method: http.MethodGet, path: at + "/blobs/" + layer}},
				{"pull", request{method: http.MethodHead, path: at + "/blobs/" + layer}},
				{"pull", request{method: http.MethodGet, path: at + "/blobs/" + config}},
				{"pull", request{method: http.MethodGet, path: at + "/tags/list"}},
				{"push", request{method: http.MethodPost, path: at + "/blobs/uploads/"}},
				{"push", request{method: http.MethodPut, path: at + "/manifests/other", mediaType: "application/json", body: []byte("{}")}},
				{"delete", request{method: http.MethodDelete, path: at + "/manifests/" + missingDigest}},
				{"delete", request{method: http.MethodDelete, path: at + "/blobs/" + missingDigest}},
			} {
				for name, allowed := range referencePolicy {
					got := p.sendAs(t, name, a.request)
					want := strings.Contains(allowed(r.name), a.needs)
					if let := got.status != http.StatusUnauthorized; let != want {
						t.Errorf("%q: %s %s: status %d, want authorized: %v", name, a.method, a.path, got.status, want)
					}
					if got.status >= 500 {
						t.Errorf("%q: %s %s: %d %s", name, a.method, a.path, got.status, got.body)
					}
				}
			}
		}

		// The right to pull one repository gives no access to the blobs of another repository.
		secret := repositories[4].img.Layer.Digest
		for _, name := range []string{"alice", "bob"} {
			if got := p.sendAs(t, name, request{method: http.MethodGet, path: "/v2/team/app/blobs/" + secret}); got.status != http.StatusNotFound {
				t.Errorf("%s got a private blob through another repository: %d", name, got.status)
			}
		}
	})
}

// TestCatalogByAnonymousAndOrdinaryUsers checks that the catalog needs a grant, like any other
// resource (Harbor CVE-2020-29662).
func TestCatalogByAnonymousAndOrdinaryUsers(t *testing.T) {
	forEachRegistry(t, func(t *testing.T, p pair) {
		p.push(t, "private/app")
		for _, scope := range []string{"registry:catalog:*", "registry:catalog:pull", "registry:*:*", "repository:catalog:*"} {
			for _, name := range []string{"", "alice", "bob"} {
				answer := p.Token(t, name, p.service, []string{scope}, nil)
				if answer.Status != http.StatusOK || len(answer.Claims.Access) != 0 {
					t.Errorf("%q asked for %s and got %d %v", name, scope, answer.Status, answer.Claims.Access)
				}
				if got := p.send(t, answer.Token, request{method: http.MethodGet, path: "/v2/_catalog"}); got.status != http.StatusUnauthorized {
					t.Errorf("%q saw the catalog with %s: %d", name, scope, got.status)
				}
			}
		}
		got := p.sendAs(t, "admin", request{method: http.MethodGet, path: "/v2/_catalog"})
		if got.status != http.StatusOK || !strings.Contains(string(got.body), "private/app") {
			t.Errorf("the administrator does not see the catalog: %d %s", got.status, got.body)
		}
	})
}

// TestAskForLessThanAllowed checks that a token grants only the requested actions, even if the
// policy allows more (a fault in Harbor).
func TestAskForLessThanAllowed(t *testing.T) {
	forEachRegistry(t, func(t *testing.T, p pair) {
		p.push(t, "team/app")
		for _, tt := range []struct {
			name, asks string
			gets       []tidewaiter.Access
		}{
			{"admin", "repository:team/app:pull", []tidewaiter.Access{{Type: "repository", Name: "team/app", Actions: []string{"pull"}}}},
			{"admin", "repository:team/app:delete", []tidewaiter.Access{{Type: "repository", Name: "team/app", Actions: []string{"delete"}}}},
			{"alice", "repository:team/app:pull,push,delete", []tidewaiter.Access{{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}}}},
			{"bob", "repository:team/app:*", []tidewaiter.Access{{Type: "repository", Name: "team/app", Actions: []string{"pull"}}}},
			{"bob", "repository:team/app:push", []tidewaiter.Access{}},
			{"", "repository:team/app:pull", []tidewaiter.Access{}},
			{"admin", "", []tidewaiter.Access{}},
		} {
			answer := p.Token(t, tt.name, p.service, []string{tt.asks}, nil)
			if diff := cmp.Diff(tt.gets, answer.Claims.Access); diff != "" {
				t.Errorf("%q asks for %q (-want +got):\n%s", tt.name, tt.asks, diff)
			}
		}
		pull := p.Token(t, "admin", p.service, []string{"repository:team/app:pull"}, nil).Token
		for _, r := range []request{
			{method: http.MethodPost, path: "/v2/team/app/blobs/uploads/"},
			{method: http.MethodDelete, path: "/v2/team/app/manifests/" + missingDigest},
			{method: http.MethodGet, path: "/v2/private/app/tags/list"},
			{method: http.MethodGet, path: "/v2/_catalog"},
		} {
			if got := p.send(t, pull, r); got.status != http.StatusUnauthorized {
				t.Errorf("a token for pulling: %s %s: %d", r.method, r.path, got.status)
			}
		}
	})
}

// TestMountFromUnreadableRepository checks that a mount needs pull on the source (Harbor 2026).
func TestMountFromUnreadableRepository(t *testing.T) {
	forEachRegistry(t, func(t *testing.T, p pair) {
		img := p.push(t, "private/app")
		mount := request{method: http.MethodPost, path: "/v2/team/stolen/blobs/uploads/?mount=" + img.Layer.Digest + "&from=private/app"}
		if got := p.sendAs(t, "alice", mount); got.status != http.StatusUnauthorized {
			t.Errorf("alice mounted from a repository that she cannot read: %d", got.status)
		}
		// The registry builds the challenge's scope from the request. Text in "from" must not
		// become a scope.
		mount.path += url.QueryEscape(":pull repository:private/app")
		if got := p.sendAs(t, "alice", mount); got.status == http.StatusCreated {
			t.Errorf("alice mounted by a crafted name: %d", got.status)
		}
		if p.Blob("team/stolen", img.Layer.Digest) {
			t.Error("the blob was mounted")
		}

		from := client.Ref{Host: p.Host, Repository: "private/app", Tag: image.Tag}
		to := client.Ref{Host: p.Host, Repository: "team/stolen", Tag: image.Tag}
		for _, k := range []client.Kind{client.Crane, client.Oras, client.Regctl, client.Containerd} {
			alice := k.New(t)
			if err := alice.Login(t.Context(), p.Host, "alice", tidewaiter.Password("alice")); err != nil {
				t.Fatal(err)
			}
			if err := alice.Copy(t.Context(), from, to); err == nil {
				t.Errorf("%s copied from a repository that alice may not read", k.Name)
			}
		}
		if p.Tag("team/stolen", image.Tag) != "" || p.Blob("team/stolen", img.Layer.Digest) {
			t.Error("the registry stored a part of the image")
		}
	})
}

// TestAccountIsAHint checks that the account parameter is never used as identity (Portus copied
// this parameter into the token's sub).
func TestAccountIsAHint(t *testing.T) {
	forEachRegistry(t, func(t *testing.T, p pair) {
		for _, name := range []string{"", "bob"} {
			answer := p.Token(t, name, p.service, []string{"repository:private/app:pull"}, url.Values{"account": {"admin"}})
			if answer.Claims.Subject != name || len(answer.Claims.Access) != 0 {
				t.Errorf("%q with account=admin is %q and got %v", name, answer.Claims.Subject, answer.Claims.Access)
			}
		}
	})
}

// TestTokenForAnotherRegistry checks that no registry accepts a token for another registry
// (docker_auth signed any requested audience).
func TestTokenForAnotherRegistry(t *testing.T) {
	forEachRegistry(t, func(t *testing.T, p pair) {
		p.push(t, "team/app")
		other := map[string]string{"registry-2.8": "registry-3.1", "registry-3.1": "registry-2.8"}[p.service]
		answer := p.Token(t, "admin", other, []string{"repository:team/app:pull"}, nil)
		if got := p.send(t, answer.Token, request{method: http.MethodGet, path: "/v2/team/app/tags/list"}); got.status != http.StatusUnauthorized {
			t.Errorf("a token for %s was accepted by %s: %d", other, p.service, got.status)
		}
		// A service name with different upper and lower case still belongs to the same registry,
		// because some clients change the case.
		answer = p.Token(t, "admin", strings.ToUpper(other), []string{"repository:team/app:pull"}, nil)
		if got := p.send(t, answer.Token, request{method: http.MethodGet, path: "/v2/team/app/tags/list"}); got.status != http.StatusUnauthorized {
			t.Errorf("a token for %s in other case was accepted by %s: %d", other, p.service, got.status)
		}
		for _, unknown := range []string{"", "registry.example.com", p.service + " ", p.service + "x"} {
			if answer := p.Token(t, "admin", unknown, nil, nil); answer.Status != http.StatusBadRequest {
				t.Errorf("service %q: %d", unknown, answer.Status)
			}
		}
	})
}

// textIf returns the text if the condition is true, otherwise "".
func textIf(so bool, text string) string {
	if so {
		return text
	}
	return ""
}
