package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// pushedDigest is the digest of the pushed manifests.
var pushedDigest = "sha256:" + strings.Repeat("ab", 32)

// push reports that ann has pushed the tag v1 to the given repositories, one repository a minute.
func (h *harness) push(repositories ...string) {
	h.Helper()
	for i, name := range repositories {
		e := notification.Event{
			ID: fmt.Sprint("push", h.nextNumber()), Time: h.clock.Now().Add(time.Duration(i-len(repositories)) * time.Minute), Action: "push", Repository: name, Tag: "v1",
			Digest: pushedDigest, Size: int64(100 + i), MediaType: "application/vnd.oci.image.manifest.v1+json", Actor: "ann",
		}
		if err := h.journal.Append(h.Context(), journal.Entry{Registry: "r.example.com", Event: &e}); err != nil {
			h.Fatal(err)
		}
	}
}

// itemNames returns the names of the items on all pages of a list.
func (h *harness) itemNames(who option, path string) (names []string) {
	h.Helper()
	for after := ""; ; {
		page := h.read(h.requireStatus(200, who, "GET", path+after, nil))
		for _, item := range page["items"].([]any) {
			names = append(names, item.(fields)["name"].(string))
		}
		next, ok := page["next"]
		if !ok {
			return names
		}
		after = "&after=" + next.(string)
	}
}

// Callers see the repositories from which they may pull with the credential of the request.
// Callers who may read the journal see all repositories.
func TestTheCatalogShowsWhatTheCallerMayPull(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.push("team/b", "team/a", "secret/x", "other", "team/prod/c")
		if err := h.journal.Append(t.Context(), journal.Entry{Registry: "former.example.com", Event: &notification.Event{
			ID: "former", Time: h.clock.Now(), Action: "push", Repository: "team/a", Tag: "v1", Digest: pushedDigest,
		}}); err != nil {
			t.Fatal(err)
		}
		h.catchUp()
		h.addMember("carol", admin.Auditors)
		h.addMember("bob")
		h.addMember("ann")
		secret := func(name string, limits ...policy.Limit) option {
			_, secret := h.createToken(name, fmt.Sprint("t", h.nextNumber()), limits...)
			return bearer(secret)
		}
		only := policy.Limit{Names: []string{"team/a"}, Actions: scope.Pull}
		push := policy.Limit{Names: []string{"team/**"}, Actions: scope.Push}
		for _, tt := range []struct {
			who  string
			as   option
			path string
			want []string
		}{
			{"an auditor", secret("carol"), "?limit=2", []string{"other", "secret/x", "team/a", "team/a", "team/b", "team/prod/c"}},
			{"an auditor's list by push", secret("carol"), "?sort=last-push&limit=2&registry=r.example.com", []string{"team/prod/c", "other", "secret/x", "team/a", "team/b"}},
			{"a developer", secret("ann"), "?limit=2", []string{"team/a", "team/b", "team/prod/c"}},
			{"a developer's list by size", secret("ann"), "?limit=1&sort=size", []string{"team/prod/c", "team/a", "team/b"}},
			{"a developer's list with a prefix", secret("ann"), "?prefix=team/p", []string{"team/prod/c"}},
			{"a prefix that hides more", secret("ann"), "?prefix=sec", nil},
			{"a restricted token", secret("ann", only), "?limit=1", []string{"team/a"}},
			{"a token that may only push", secret("ann", push), "?limit=1", nil},
			{"an auditor's restricted token", secret("carol", only), "?limit=1", nil},
			{"somebody without rights", secret("bob"), "?limit=1", nil},
		} {
			if diff := cmp.Diff(tt.want, h.itemNames(tt.as, "/catalog/repositories"+tt.path)); diff != "" {
				t.Errorf("%s: %s", tt.who, diff)
			}
		}
		// For a hidden repository, the answer is the same as for a missing repository.
		for _, path := range []string{"/catalog/tags?repository=%s", "/catalog/manifests/v1?repository=%s", "/catalog/history?tag=v1&repository=%s"} {
			h.requireStatus(200, secret("ann"), "GET", fmt.Sprintf(path, "team/a"), nil)
			hidden := h.requireStatus(404, secret("ann"), "GET", fmt.Sprintf(path, "secret/x"), nil)
			none := h.requireStatus(404, secret("ann"), "GET", fmt.Sprintf(path, "team/none"), nil)
			if h.read(hidden)["detail"] != h.read(none)["detail"] {
				t.Errorf("%s: %s, %s", path, hidden.Body, none.Body)
			}
			h.requireStatus(404, secret("ann", push), "GET", fmt.Sprintf(path, "team/a"), nil)
			// Two registries have the repository.
			h.requireStatus(422, secret("carol"), "GET", fmt.Sprintf(path, "team/a"), nil)
			h.requireStatus(200, secret("carol"), "GET", fmt.Sprintf(path, "team/a")+"&registry=former.example.com", nil)
		}
	})
}

// Only callers who may read the journal about the repository see who pushed, pulled or deleted
// something.
func TestTheCatalogHidesWhoDidSomething(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.push("team/app")
	h.clock.Pass(time.Hour)
	h.addMember("carol", admin.Auditors)
	h.addMember("olga")
	h.addMember("ann")
	if _, err := h.rulebook.AddNamespace(t.Context(), operator, rulebook.NewNamespace{Name: "team", Owners: []string{"user:olga"}}); err != nil {
		t.Fatal(err)
	}
	h.clock.Pass(time.Hour)
	h.push("team/new")
	h.catchUp()
	for _, tt := range []struct {
		who, repository string
		shown           bool
	}{
		{"carol", "team/app", true},
		{"carol", "team/new", true},
		{"olga", "team/app", false}, // somebody else may have owned the namespace then
		{"olga", "team/new", true},
		{"ann", "team/app", false},
		{"ann", "team/new", false},
	} {
		_, secret := h.createToken(tt.who, fmt.Sprint("t", h.nextNumber()))
		for _, path := range []string{"/catalog/repositories?prefix=", "/catalog/tags?repository=", "/catalog/manifests/v1?repository=", "/catalog/manifests/" + pushedDigest + "?repository=", "/catalog/history?tag=v1&repository="} {
			got := h.requireStatus(200, bearer(secret), "GET", path+tt.repository, nil)
			if shown := strings.Contains(got.Body, `"by":"ann"`); shown != tt.shown || !strings.Contains(got.Body, "2026-") {
				t.Errorf("%s, %s%s: shown %v: %s", tt.who, path, tt.repository, shown, got.Body)
			}
		}
	}
}

func TestTheCatalogRefusesWrongRequests(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.addMember("carol", admin.Auditors)
	_, secret := h.createToken("carol", "t")
	if got := h.request(bearer(secret), "GET", "/catalog/repositories", nil); got.Status != 503 {
		t.Errorf("before it is built: %d %s", got.Status, got.Body)
	}
	h.push("team/app")
	h.catchUp()
	for path, status := range map[string]int{
		"/catalog/repositories?sort=tags": 422, "/catalog/repositories?after=x": 422, "/catalog/repositories?limit=0": 422,
		"/catalog/tags": 422, "/catalog/tags?repository=team/app&after=zz": 200, "/catalog/history?repository=team/app&tag=v1&after=x": 422,
		"/catalog/history?repository=team/app": 422, "/catalog/history?repository=team/app&tag=v2": 404,
		"/catalog/manifests/v2?repository=team/app": 404, "/catalog/manifests/sha256:ab?repository=team/app": 404,
	} {
		if got := h.request(bearer(secret), "GET", path, nil); got.Status != status {
			t.Errorf("%s: %d, want %d: %s", path, got.Status, status, got.Body)
		}
	}
}
