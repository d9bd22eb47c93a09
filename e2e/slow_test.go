package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/engine"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/part"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
	"github.com/tidewaiter/tidewaiter/token"
)

// TestWhatClientsMeet holds clients against what is less common than in TestCompatibility.
func TestWhatClientsMeet(t *testing.T) {
	docker := engine.Shared(t)
	t.Run("tokens that end during a push", func(t *testing.T) {
		tokensThatEnd(t, slices.DeleteFunc(everyClient(docker), func(k client.Kind) bool {
			return k.Name == client.Regctl.Name // which believes its own clock alone, and that does not move here
		}))
	})
	t.Run("requests of tools", func(t *testing.T) { tools(t, docker) })
	kinds := slices.DeleteFunc(everyClient(docker), func(k client.Kind) bool {
		return k.Name == client.Podman.Name || k.Name == client.Helm.Name // which encode as skopeo and oras do
	})
	t.Run("odd passwords", func(t *testing.T) { oddPasswords(t, kinds) })
	t.Run("odd names of registries", func(t *testing.T) { oddServices(t, kinds) })
}

// tokensThatEnd lets every client push with tokens of a minute, as if each upload of a blob took five. No
// time passes: to the registry, a token has expired once a blob was sent with it, and to clients that go by
// their own clock, every token was issued long ago.
func tokensThatEnd(t *testing.T, kinds []client.Kind) {
	versions := []registry.Version{registry.V28, registry.V31}
	tw := tidewaiter.StartBrief(t, "registry-2.8", "registry-3.1")
	journal := tw.Journal(t)
	for _, v := range versions {
		t.Run("registry "+string(v), func(t *testing.T) {
			service := "registry-" + string(v)
			f := newFront(t, tw)
			r := f.start(t, v, tw, service)
			f.registry = &slowUploads{passed: f.registry, expired: expiredToken(t, tw, service), old: map[string]bool{}}
			f.tidewaiter.ModifyResponse = issuedLongAgo
			t.Run("and", func(t *testing.T) {
				for _, k := range kinds {
					t.Run(k.Name, func(t *testing.T) {
						t.Parallel()
						alice := k.New(t)
						if err := alice.Login(t.Context(), f.host, "alice", tidewaiter.Password("alice")); err != nil {
							t.Fatal(err)
						}
						to := client.Ref{Host: f.host, Repository: "team/" + k.Name + "/slow", Tag: image.Tag}
						digest, err := alice.Push(t.Context(), to, image.New(t, format(k)))
						if err != nil {
							t.Fatal(err)
						}
						if stored := r.Tag(to.Repository, to.Tag); stored != digest {
							t.Errorf("pushed %s, the registry has %q", digest, stored)
						}
						part.Await(t, "more than one token for the push", func(context.Context) error {
							if n := pushTokens(journal, service, to.Repository); n < 2 {
								return fmt.Errorf("there were %d", n)
							}
							return nil
						})
					})
				}
			})
		})
	}
}

// pushTokens counts the tokens with which a repository could be pushed to.
func pushTokens(journal *tidewaiter.Journal, service, repository string) (n int) {
	for _, e := range journal.Entries() {
		if e.Registry != service || e.Decision == nil {
			continue
		}
		for _, result := range e.Decision.Results {
			if result.Name == repository && slices.Contains(result.Granted, "push") {
				n++
			}
		}
	}
	return n
}

// slowUploads is a registry before which uploads take longer than tokens live. Bytes of a blob that are on their way arrive
// with the token that they were sent with: not every client could send them again.
type slowUploads struct {
	passed  http.Handler
	expired string // a token

	mu  sync.Mutex
	old map[string]bool // the tokens with which a blob was sent
}

func (s *slowUploads) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	with := r.Header.Get("Authorization")
	sendsBlob := r.ContentLength != 0 && strings.Contains(r.URL.Path, "/blobs/uploads/")
	s.mu.Lock()
	if s.old[with] && !sendsBlob {
		r.Header.Set("Authorization", "Bearer "+s.expired)
	}
	s.mu.Unlock()
	s.passed.ServeHTTP(w, r)
	if with != "" && sendsBlob {
		s.mu.Lock()
		s.old[with] = true
		s.mu.Unlock()
	}
}

// expiredToken is a token that was good some minutes ago.
func expiredToken(t *testing.T, tw *tidewaiter.Tidewaiter, service string) string {
	t.Helper()
	certificate, err := os.ReadFile(tw.Roots)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(filepath.Dir(tw.Roots), "privatekey.pem"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := token.ParseRoot(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	leaf, err := root.Leaf(token.ES256, now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, leaf, &token.Claims{
		Issuer: tidewaiter.Issuer, Audience: service, Subject: "alice", ID: "01a209ba",
		IssuedAt: now.Add(-10 * time.Minute), Expires: now.Add(-5 * time.Minute),
	})
}

// issuedLongAgo adds the time of issue to an answer of the token endpoint, ten minutes ago. A client whose
// clock judges tokens then takes each for expired, as it does with one from before a slow upload.
func issuedLongAgo(r *http.Response) error {
	if r.StatusCode != http.StatusOK {
		return nil
	}
	var answer map[string]any
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return err
	}
	answer["issued_at"] = time.Now().Add(-10 * time.Minute).UTC().Format(time.RFC3339)
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}
