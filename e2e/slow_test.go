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
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
	"github.com/tidewaiter/tidewaiter/token"
)

// TestUncommonUses tests clients in situations that are less common than those in
// TestCompatibility.
func TestUncommonUses(t *testing.T) {
	docker := engine.Shared(t)
	t.Run("tokens that expire during a push", func(t *testing.T) {
		tokensThatEnd(t, slices.DeleteFunc(everyClient(docker), func(k client.Kind) bool {
			// regctl compares tokens with the machine's clock, which this test does not change.
			return k.Name == client.Regctl.Name
		}))
	})
	t.Run("requests of tools", func(t *testing.T) { tools(t, docker) })
	kinds := slices.DeleteFunc(everyClient(docker), func(k client.Kind) bool {
		// podman encodes like skopeo, and helm like oras, so podman and helm are left out.
		return k.Name == client.Podman.Name || k.Name == client.Helm.Name
	})
	t.Run("odd passwords", func(t *testing.T) { oddPasswords(t, kinds) })
	t.Run("odd names of registries", func(t *testing.T) { oddServices(t, kinds) })
}

// tokensThatEnd makes every client push with tokens that expire during uploads. It simulates
// tokens that live a minute, and uploads of blobs that take five minutes. The test does not wait
// for these times. After a blob was sent with a token, the registry treats that token as expired.
// For clients that use their clock, every token response has an old time of issue.
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
						process.Await(t, "more than one token for the push", func(context.Context) error {
							if n := pushTokens(journal, service, to.Repository); n < 2 {
								return fmt.Errorf("there were %d tokens", n)
							}
							return nil
						})
					})
				}
			})
		})
	}
}

// pushTokens counts the tokens that allow a push to a repository.
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

// slowUploads simulates a registry whose uploads take longer than the lifetime of a token.
// Requests that send a blob are an exception: the registry accepts the token with which the upload
// began, because some clients cannot send a blob a second time.
type slowUploads struct {
	passed  http.Handler
	expired string // an expired token

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

// expiredToken returns a token that expired some minutes ago.
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

// issuedLongAgo sets the time of issue in a token response to ten minutes ago. A client that
// checks tokens with its clock then treats each token as expired, like a token that was issued
// before a slow upload.
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
