package registryapi_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/registryapi"
	"github.com/tidewaiter/tidewaiter/scope"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// fakeRegistry is a registry with scripted answers. It records the requests and their tokens.
type fakeRegistry struct {
	*httptest.Server
	requests []string
}

// serve starts a registry. The answers are found by method and URL, or else by method and path.
func serve(t *testing.T, answers map[string]http.HandlerFunc) *fakeRegistry {
	f := new(fakeRegistry)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.requests = append(f.requests, fmt.Sprintf("%s %s %s", r.Method, r.URL, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
		for _, key := range []string{r.Method + " " + r.URL.String(), r.Method + " " + r.URL.Path} {
			if answer := answers[key]; answer != nil {
				answer(w, r)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeRegistry) client(t *testing.T) *registryapi.Client {
	t.Helper()
	c, err := registryapi.New(registryapi.Options{
		Service: "r", URL: f.URL, Now: func() time.Time { return noon },
		Sign: func(rights scope.Scope) (string, time.Time, error) { return rights.String(), noon.Add(time.Hour), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

const ociManifest = "application/vnd.oci.image.manifest.v1+json"

func digestOf(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }

func TestEachRequestHasTheRightsItNeeds(t *testing.T) {
	text, manifest := `{"schemaVersion":2}`, []string{"Content-Type", ociManifest, "Docker-Content-Digest", digestOf(`{"schemaVersion":2}`)}
	path := "/v2/team/app/manifests/"
	f := serve(t, map[string]http.HandlerFunc{
		"GET /v2/_catalog?n=1000":              answer(200, `{"repositories":["b","a"]}`, "Link", `</v2/_catalog?last=a&n=1000>; rel="next"`),
		"GET /v2/_catalog?last=a&n=1000":       answer(200, `{"repositories":["c"]}`),
		"GET /v2/team/app/tags/list":           answer(200, `{"name":"team/app","tags":["v1","v2"]}`),
		"HEAD " + path + "v1":                  answer(200, "", append(manifest, "Content-Length", "19")...),
		"GET " + path + digestOf(text):         answer(200, text, manifest...),
		"PUT " + path + "v0":                   answer(201, "", manifest...),
		"DELETE " + path + digestOf(text):      answer(202, ""),
		"DELETE " + path + digestOf("another"): answer(405, ""),
	})
	c := f.client(t)
	var repositories, tags []string
	collect := func(to *[]string) func([]string) error {
		return func(names []string) error { *to = append(*to, names...); return nil }
	}
	if err := errors.Join(c.Repositories(t.Context(), collect(&repositories)), c.Tags(t.Context(), "team/app", collect(&tags))); err != nil {
		t.Fatal(err)
	}
	m, err := c.Head(t.Context(), "team/app", "v1")
	if want := (registryapi.Manifest{Digest: digestOf(text), MediaType: ociManifest, Size: 19}); m != want || err != nil {
		t.Errorf("head: %+v, %v", m, err)
	}
	m, got, err := c.Get(t.Context(), "team/app", m.Digest)
	if string(got) != text || err != nil {
		t.Errorf("get: %s, %v", got, err)
	}
	if err := errors.Join(c.Put(t.Context(), "team/app", "v0", m, got), c.Delete(t.Context(), "team/app", m)); err != nil {
		t.Error(err)
	}
	if err := c.Delete(t.Context(), "team/app", registryapi.Manifest{Digest: digestOf("another")}); err == nil || !strings.Contains(err.Error(), "storage.delete.enabled") {
		t.Error(err)
	}
	if _, err := c.Head(t.Context(), "team/app", "v9"); !errors.Is(err, registryapi.ErrNotFound) {
		t.Error(err)
	}
	if err := c.Tags(t.Context(), "gone", collect(&tags)); !errors.Is(err, registryapi.ErrNotFound) {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"b", "a", "c", "v1", "v2"}, slices.Concat(repositories, tags)); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"GET /v2/_catalog?n=1000 registry:catalog:*",
		"GET /v2/_catalog?last=a&n=1000 registry:catalog:*",
		"GET /v2/team/app/tags/list?n=1000 repository:team/app:pull",
		"HEAD " + path + "v1 repository:team/app:pull",
		"GET " + path + digestOf(text) + " repository:team/app:pull",
		"PUT " + path + "v0 repository:team/app:pull,push",
		"DELETE " + path + digestOf(text) + " repository:team/app:delete",
		"DELETE " + path + digestOf("another") + " repository:team/app:delete",
		"HEAD " + path + "v9 repository:team/app:pull",
		"GET /v2/gone/tags/list?n=1000 repository:gone:pull",
	}
	if diff := cmp.Diff(want, f.requests); diff != "" {
		t.Error(diff)
	}
}

// A registry cannot make Tidewaiter send a request or a token to another host, or repeat requests
// without an end.
func TestAHostileRegistry(t *testing.T) {
	elsewhere := serve(t, map[string]http.HandlerFunc{})
	large := digestOf("large")
	f := serve(t, map[string]http.HandlerFunc{
		"GET /v2/_catalog":               answer(200, `{"repositories":["a"]}`, "Link", "<"+elsewhere.URL+`/v2/_catalog>; rel="next"`),
		"GET /v2/away/tags/list":         answer(307, "", "Location", elsewhere.URL+"/v2/away/tags/list"),
		"GET /v2/other/tags/list":        answer(307, "", "Location", "/private"),
		"GET /v2/circle/tags/list":       answer(307, "", "Location", "/v2/circle/tags/list"),
		"GET /v2/refuses/tags/list":      answer(401, `{"errors":[{"code":"UNAUTHORIZED"}]}`, "WWW-Authenticate", `Bearer realm="`+elsewhere.URL+`/token"`),
		"GET /v2/endless/tags/list":      answer(200, `{"tags":["a"]}`, "Link", `</v2/endless/tags/list>; rel="next"`),
		"GET /v2/a/manifests/v1":         answer(200, "{}", "Content-Type", ociManifest, "Docker-Content-Digest", digestOf("something else")),
		"GET /v2/a/manifests/" + large:   answer(200, strings.Repeat(" ", 5<<20), "Content-Type", ociManifest, "Docker-Content-Digest", large, "Content-Length", fmt.Sprint(5<<20)),
		"HEAD /v2/a/manifests/no-digest": answer(200, "", "Content-Type", ociManifest, "Content-Length", "2"),
	})
	c := f.client(t)
	c.SetMaxPages(50)
	none := func([]string) error { return nil }
	tags := func(repository string) func() error {
		return func() error { return c.Tags(t.Context(), repository, none) }
	}
	get := func(reference string) func() error {
		return func() error { _, _, err := c.Get(t.Context(), "a", reference); return err }
	}
	for _, tt := range []struct {
		call     func() error
		want     string
		requests int
	}{
		{func() error { return c.Repositories(t.Context(), none) }, "not the same origin", 1},
		{tags("away"), "refers to another host", 1},
		{tags("other"), "no token permits GET /private", 1},
		{tags("circle"), "redirects more than 3 times", 4},
		{tags("refuses"), "the registry refuses the token", 1},
		{tags("endless"), "too many pages", 50},
		{tags("../../secret"), "invalid", 0},
		{get("v1"), "mismatch", 1},
		{get(large), "the maximum is", 1},
		{func() error { _, err := c.Head(t.Context(), "a", "no-digest"); return err }, "Docker-Content-Digest", 1},
	} {
		f.requests = nil
		if err := tt.call(); err == nil || !strings.Contains(err.Error(), tt.want) || len(f.requests) != tt.requests {
			t.Errorf("%d requests, error %v; want %d requests, error %s", len(f.requests), err, tt.requests, tt.want)
		}
	}
	if len(elsewhere.requests) > 0 {
		t.Errorf("the other host got %q", elsewhere.requests)
	}
}

func TestURLsOfRegistries(t *testing.T) {
	const unencrypted = "tokens would travel unencrypted"
	for _, tt := range []struct {
		url   string
		plain bool
		want  string // part of the error; "": none
	}{
		{"", false, "add url to the registry"},
		{"https://r.example.com/registry", false, "has a path"},
		{"https:///v2", false, "is invalid"},
		{"ftp://r.example.com", true, "must begin with https://"},
		{"//r.example.com", true, "must begin with https://"},
		{"http://r.example.com", false, unencrypted},
		{"HTTP://10.0.0.1:5000", false, unencrypted},
		{"http://localhost.example.com", false, unencrypted},
		{"http://r.example.com", true, ""},
		{"http://localhost:5000", false, ""},
		{"http://127.0.0.1:5000", false, ""},
		{"http://[::1]:5000", false, ""},
		{"https://r.example.com", false, ""},
	} {
		_, err := registryapi.New(registryapi.Options{Service: "r", URL: tt.url, Plain: tt.plain})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q, plain %t: %v", tt.url, tt.plain, err)
		}
	}
}
