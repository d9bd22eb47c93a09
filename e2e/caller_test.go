package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// pair is a registry with the Tidewaiter that it trusts.
type pair struct {
	*tidewaiter.Tidewaiter
	*registry.Registry
	service string
}

// forEachRegistry runs a test with registry 2.8 and with registry 3.1. Both trust the same
// Tidewaiter.
func forEachRegistry(t *testing.T, test func(*testing.T, pair)) {
	t.Helper()
	versions := []registry.Version{registry.V28, registry.V31}
	tw := tidewaiter.Start(t, "registry-2.8", "registry-3.1")
	for _, v := range versions {
		t.Run("registry "+string(v), func(t *testing.T) {
			service := "registry-" + string(v)
			test(t, pair{tw, registry.Start(t, v, trust(tw, service)), service})
		})
	}
}

// request is an HTTP request to a registry.
type request struct {
	method, path string
	mediaType    string
	body         []byte
	accept       string // "": no Accept header
}

// response is the answer to a request.
type response struct {
	status int
	header http.Header
	body   []byte
}

// sendAs sends a request like a client: first without a token, then with a token for the scope in
// the registry's challenge. The token is for the named user, or anonymous if the name is "".
// sendAs returns the last response.
func (p pair) sendAs(t testing.TB, name string, r request) response {
	t.Helper()
	first := p.send(t, "", r)
	if first.status != http.StatusUnauthorized {
		return first
	}
	challenge := first.header.Get("WWW-Authenticate")
	m := regexp.MustCompile(`scope="([^"]*)"`).FindStringSubmatch(challenge)
	var scopes []string
	if m != nil {
		scopes = []string{m[1]}
	}
	answer := p.Token(t, name, p.service, scopes, nil)
	if answer.Status != http.StatusOK {
		t.Fatalf("%s got no token: %d", name, answer.Status)
	}
	return p.send(t, answer.Token, r)
}

// send sends a request with a token. A token of "" means a request without a token.
func (p pair) send(t testing.TB, token string, r request) response {
	t.Helper()
	url := r.path
	if strings.HasPrefix(url, "/") {
		url = "http://" + p.Host + url
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, url, bytes.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if r.mediaType != "" {
		req.Header.Set("Content-Type", r.mediaType)
	}
	req.Header.Set("Accept", cmp.Or(r.accept, "*/*"))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{res.StatusCode, res.Header, body}
}

// push pushes an image to a repository as the administrator.
func (p pair) push(t testing.TB, repository string) *image.Image {
	t.Helper()
	img := image.New(t, image.OCI)
	scope := []string{"repository:" + repository + ":pull,push"}
	token := p.Token(t, "admin", p.service, scope, nil).Token
	for _, b := range []image.Blob{img.Config, img.Layer} {
		started := p.send(t, token, request{method: http.MethodPost, path: "/v2/" + repository + "/blobs/uploads/"})
		if started.status != http.StatusAccepted {
			t.Fatalf("starting an upload to %s: %d %s", repository, started.status, started.body)
		}
		ended := p.send(t, token, request{
			method: http.MethodPut, path: started.header.Get("Location") + "&digest=" + b.Digest,
			mediaType: "application/octet-stream", body: b.Data,
		})
		if ended.status != http.StatusCreated {
			t.Fatalf("uploading to %s: %d %s", repository, ended.status, ended.body)
		}
	}
	tagged := p.send(t, token, request{
		method: http.MethodPut, path: fmt.Sprintf("/v2/%s/manifests/%s", repository, image.Tag),
		mediaType: img.Manifest.MediaType, body: img.Manifest.Data,
	})
	if tagged.status != http.StatusCreated {
		t.Fatalf("pushing a manifest to %s: %d %s", repository, tagged.status, tagged.body)
	}
	return img
}
