package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/engine"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// bob and carol may pull team/. alice may only delete in cleared/. A deny rule covers
// private/closed for everybody.
const refusing = `policy:
  roles: { reader: [pull], maintainer: [pull, push, delete] }
  rules:
    - { name: the team reads, subjects: ["user:bob", "user:carol"], repositories: ["team/**"], role: reader }
    - { name: alice clears, subjects: ["user:alice"], repositories: ["cleared/**"], actions: [delete] }
    - { name: administrators, subjects: ["group:administrators"], repositories: ["**"], role: maintainer }
    - { name: a closed repository, effect: deny, subjects: ["user:bob"], repositories: ["private/closed"], actions: [pull, push, delete] }
`

// decisionID matches the short form of a decision's id in a message.
var decisionID = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}\b`)

// forbiddenStatus matches the status 403 in a client's output, but not a part of a digest or a
// port.
var forbiddenStatus = regexp.MustCompile(`\b403\b`)

// TestRefusalsThatHelp checks the messages that users read in each client after a refusal.
func TestRefusalsThatHelp(t *testing.T) {
	const service, plainly = "registry", "as-specified"
	// The first line adds a second registry to the list of registries.
	tw := tidewaiter.StartWith(t, "  - { service: "+plainly+", refusals: specification }\n"+tidewaiter.Identity(t)+"  - accounts: {}\n"+refusing, service)
	p := pair{tw, registry.Start(t, registry.V31, trust(tw, service)), service}
	journal := tw.Journal(t)
	img := p.push(t, "team/app")

	docker := client.Docker(engine.Shared(t))
	printing := []client.Kind{docker, client.Crane, client.Oras, client.Helm}
	bob := func(t *testing.T, k client.Kind) client.Client {
		t.Helper()
		bob := k.New(t)
		if err := bob.Login(t.Context(), p.Host, "bob", tidewaiter.Password("bob")); err != nil {
			t.Fatal(err)
		}
		return bob
	}
	ref := func(repository string) client.Ref {
		return client.Ref{Host: p.Host, Repository: repository, Tag: image.Tag}
	}

	for _, k := range printing {
		t.Run(k.Name+" prints the reason", func(t *testing.T) {
			to := ref("team/" + k.Name)
			_, err := bob(t, k).Push(t.Context(), to, image.New(t, format(k)))
			e := refusedByID(t, journal, err)
			if d := e.Decision; d.Principal.Name != "bob" || d.Refused == "" || len(d.Results) != 1 || d.Results[0].Name != to.Repository {
				t.Errorf("the decision %s is not the refusal: %+v", e.ID, d)
			}
			if !strings.Contains(err.Error(), "bob may not push") || !strings.Contains(err.Error(), to.Repository) {
				t.Errorf("the message lacks user, action or repository: %v", err)
			}
			if p.Touched(to.Repository) {
				t.Error("the registry stored a part of the image")
			}
			explained, runErr := process.Run(t.Context(), exec.Command(tidewaiter.Program(t), "explain", e.ID, "--config", tw.Config))
			if runErr != nil || !strings.Contains(explained, "refused: user:bob may pull "+to.Repository+", and may not push it") {
				t.Errorf("explain %s: %v\n%s", e.ID, runErr, explained)
			}
		})
		t.Run(k.Name+" does not reveal what exists", func(t *testing.T) {
			p.push(t, "private/secret")
			p.push(t, "private/closed")
			said := map[string][]string{}
			for _, name := range []string{"private/secret", "private/closed", "private/nothing"} {
				_, err := bob(t, k).Pull(t.Context(), ref(name))
				refusedByID(t, journal, err)
				text := plainError(err, p.Host)
				text = strings.ReplaceAll(strings.ReplaceAll(text, name, "NAME"), strings.ReplaceAll(name, "/", "%2F"), "NAME")
				said[text] = append(said[text], name)
			}
			if len(said) != 1 {
				t.Errorf("existing, denied and missing repositories have different messages: %v", said)
			}
		})
	}

	// docker login stores a refresh token for all clients. Clients send this refresh token in a
	// POST request.
	tw.Command(t, "nobody knows that one", "user", "add", "carol", "--password-stdin")
	kept := tw.Ask(t, "carol", "nobody knows that one", service).Refresh
	for _, k := range printing {
		t.Run(k.Name+" prints the reason, with a refresh token", func(t *testing.T) {
			carol, to := k.New(t), ref("team/"+k.Name)
			if err := carol.Keep(p.Host, "carol", kept); err != nil {
				t.Fatal(err)
			}
			_, err := carol.Push(t.Context(), to, image.New(t, format(k)))
			if e := refusedByID(t, journal, err); e.Decision.Principal.Name != "carol" || e.Decision.Refused == "" {
				t.Errorf("the decision %s is not the refusal: %+v", e.ID, e.Decision)
			}
		})
	}

	for _, k := range []client.Kind{client.Podman, client.Skopeo, client.Regctl, client.Containerd} {
		t.Run(k.Name+" gets a token with less access", func(t *testing.T) {
			to := ref("team/" + k.Name)
			_, err := bob(t, k).Push(t.Context(), to, image.New(t, format(k)))
			if err == nil || !refusal.MatchString(err.Error()) {
				t.Fatalf("pushing: %v", err)
			}
			if decisionID.MatchString(err.Error()) || forbiddenStatus.MatchString(err.Error()) {
				t.Errorf("the client got no token: %v", err)
			}
			process.Await(t, "the decision", func(context.Context) error {
				for _, e := range journal.Entries() {
					if d := e.Decision; d != nil && len(d.Results) > 0 && d.Results[0].Name == to.Repository &&
						slices.Contains(d.Results[0].Asked, "push") && d.Principal.Name == "bob" {
						if d.Refused != "" {
							t.Errorf("the client got no token: %+v", d)
						}
						return nil
					}
				}
				return fmt.Errorf("no decision on %s", to.Repository)
			})
		})
	}

	t.Run("a registry with refusals: specification", func(t *testing.T) {
		r := registry.Start(t, registry.V31, trust(tw, plainly))
		bob := client.Crane.New(t)
		if err := bob.Login(t.Context(), r.Host, "bob", tidewaiter.Password("bob")); err != nil {
			t.Fatal(err)
		}
		_, err := bob.Push(t.Context(), client.Ref{Host: r.Host, Repository: "team/app", Tag: image.Tag}, image.New(t, image.Schema2))
		if err == nil || !refusal.MatchString(err.Error()) || decisionID.MatchString(err.Error()) {
			t.Errorf("pushing: %v", err)
		}
	})

	t.Run("crane deletes with a right to delete only", func(t *testing.T) {
		p.push(t, "cleared/app")
		alice := client.Crane.New(t)
		if err := alice.Login(t.Context(), p.Host, "alice", tidewaiter.Password("alice")); err != nil {
			t.Fatal(err)
		}
		digest := p.Tag("cleared/app", image.Tag)
		// crane requests push, pull and delete, but the registry requires only delete.
		if err := alice.Delete(t.Context(), client.Ref{Host: p.Host, Repository: "cleared/app", Digest: digest}); err != nil {
			t.Fatal(err)
		}
		if p.Manifest("cleared/app", digest) {
			t.Error("deleted, but the registry still has it")
		}
	})
	for _, k := range []client.Kind{client.Crane, client.Oras} {
		t.Run(k.Name+" prints the reason it may not delete", func(t *testing.T) {
			err := bob(t, k).Delete(t.Context(), client.Ref{Host: p.Host, Repository: "team/app", Digest: img.Manifest.Digest})
			refusedByID(t, journal, err)
			if !p.Manifest("team/app", img.Manifest.Digest) {
				t.Error("the manifest was deleted")
			}
		})
	}
}

// refusedByID returns the decision whose id is in a client's message.
func refusedByID(t *testing.T, journal *tidewaiter.Journal, err error) (found tidewaiter.Entry) {
	t.Helper()
	if err == nil {
		t.Fatal("the client was not refused")
	}
	id := decisionID.FindString(err.Error())
	if id == "" || !strings.Contains(strings.ToLower(err.Error()), "denied: ") {
		t.Fatalf("no decision id in %v", err)
	}
	process.Await(t, "decision "+id+" in the journal", func(context.Context) error {
		entries := journal.Entries()
		at := slices.IndexFunc(entries, func(e tidewaiter.Entry) bool { return strings.HasPrefix(e.ID, id) })
		if at < 0 || entries[at].Decision == nil {
			return fmt.Errorf("not found")
		}
		found = entries[at]
		return nil
	})
	return found
}
