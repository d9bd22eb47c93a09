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
	"github.com/tidewaiter/tidewaiter/e2e/part"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// Bob and carol may pull team/, alice may take things out of cleared/ and do nothing else there, and a rule
// keeps everybody out of private/closed.
const refusing = `policy:
  roles: { reader: [pull], maintainer: [pull, push, delete] }
  rules:
    - { name: the team reads, subjects: ["user:bob", "user:carol"], repositories: ["team/**"], role: reader }
    - { name: alice clears, subjects: ["user:alice"], repositories: ["cleared/**"], actions: [delete] }
    - { name: administrators, subjects: ["group:administrators"], repositories: ["**"], role: maintainer }
    - { name: a closed house, effect: deny, subjects: ["user:bob"], repositories: ["private/closed"], actions: [pull, push, delete] }
`

// decisionID is the id of a decision in somebody's words.
var decisionID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// forbidden is the status 403 in somebody's words, and not a piece of a digest or a port.
var forbidden = regexp.MustCompile(`\b403\b`)

// TestRefusalsThatHelp holds what a person reads who was refused, in each client's own words.
func TestRefusalsThatHelp(t *testing.T) {
	const service, plainly = "registry", "as-specified"
	// One more registry ends the list of them.
	tw := tidewaiter.StartWith(t, "  - { service: "+plainly+", refusals: specification }\n"+tidewaiter.Identity(t)+"  - accounts: {}\n"+refusing, service)
	p := pair{tw, registry.Start(t, registry.V31, trust(tw, service)), service}
	journal := tw.Journal(t)
	img := p.push(t, "team/app")

	docker := client.Docker(engine.Shared(t))
	shows := []client.Kind{docker, client.Crane, client.Oras, client.Helm}
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

	for _, k := range shows {
		t.Run(k.Name+" shows why", func(t *testing.T) {
			to := ref("team/" + k.Name)
			_, err := bob(t, k).Push(t.Context(), to, image.New(t, format(k)))
			e := refusedByID(t, journal, err)
			if d := e.Decision; d.Principal.Name != "bob" || d.Refused == "" || len(d.Results) != 1 || d.Results[0].Name != to.Repository {
				t.Errorf("the decision %s is another one: %+v", e.ID, d)
			}
			if !strings.Contains(err.Error(), "bob may not push") || !strings.Contains(err.Error(), to.Repository) {
				t.Errorf("who may not do what? %v", err)
			}
			if p.Touched(to.Repository) {
				t.Error("the registry has something of it")
			}
			explained, runErr := part.Run(t.Context(), exec.Command(tidewaiter.Program(t), "explain", e.ID, "--config", tw.Config))
			if runErr != nil || !strings.Contains(explained, "refused: user:bob may pull "+to.Repository+", and may not push it") {
				t.Errorf("explain %s: %v\n%s", e.ID, runErr, explained)
			}
		})
		t.Run(k.Name+" tells nobody what there is", func(t *testing.T) {
			p.push(t, "private/secret")
			p.push(t, "private/closed")
			said := map[string][]string{}
			for _, name := range []string{"private/secret", "private/closed", "private/nothing"} {
				_, err := bob(t, k).Pull(t.Context(), ref(name))
				refusedByID(t, journal, err)
				text := plain(err, p.Host)
				text = strings.ReplaceAll(strings.ReplaceAll(text, name, "NAME"), strings.ReplaceAll(name, "/", "%2F"), "NAME")
				said[text] = append(said[text], name)
			}
			if len(said) != 1 {
				t.Errorf("what is there, what is closed, and what is not are told apart: %v", said)
			}
		})
	}

	// A refresh token, which docker login leaves for all of them, is shown in another form of request.
	tw.Command(t, "nobody knows that one", "user", "add", "carol", "--password-stdin")
	kept := tw.Ask(t, "carol", "nobody knows that one", service).Refresh
	for _, k := range shows {
		t.Run(k.Name+" shows why, with a refresh token", func(t *testing.T) {
			carol, to := k.New(t), ref("team/"+k.Name)
			if err := carol.Keep(p.Host, "carol", kept); err != nil {
				t.Fatal(err)
			}
			_, err := carol.Push(t.Context(), to, image.New(t, format(k)))
			if e := refusedByID(t, journal, err); e.Decision.Principal.Name != "carol" || e.Decision.Refused == "" {
				t.Errorf("the decision %s is another one: %+v", e.ID, e.Decision)
			}
		})
	}

	for _, k := range []client.Kind{client.Podman, client.Skopeo, client.Regctl, client.Containerd} {
		t.Run(k.Name+" gets what is granted", func(t *testing.T) {
			to := ref("team/" + k.Name)
			_, err := bob(t, k).Push(t.Context(), to, image.New(t, format(k)))
			if err == nil || !refusal.MatchString(err.Error()) {
				t.Fatalf("pushing: %v", err)
			}
			if decisionID.MatchString(err.Error()) || forbidden.MatchString(err.Error()) {
				t.Errorf("it was refused a token: %v", err)
			}
			part.Await(t, "the decision", func(context.Context) error {
				for _, e := range journal.Entries() {
					if d := e.Decision; d != nil && len(d.Results) > 0 && d.Results[0].Name == to.Repository &&
						slices.Contains(d.Results[0].Asked, "push") && d.Principal.Name == "bob" {
						if d.Refused != "" {
							t.Errorf("it was refused a token: %+v", d)
						}
						return nil
					}
				}
				return fmt.Errorf("no decision on %s", to.Repository)
			})
		})
	}

	t.Run("a registry that wants the specification", func(t *testing.T) {
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

	t.Run("crane deletes for who may only delete", func(t *testing.T) {
		p.push(t, "cleared/app")
		alice := client.Crane.New(t)
		if err := alice.Login(t.Context(), p.Host, "alice", tidewaiter.Password("alice")); err != nil {
			t.Fatal(err)
		}
		digest := p.Tag("cleared/app", image.Tag)
		// It asks for push, pull and delete; the registry wants delete.
		if err := alice.Delete(t.Context(), client.Ref{Host: p.Host, Repository: "cleared/app", Digest: digest}); err != nil {
			t.Fatal(err)
		}
		if p.Manifest("cleared/app", digest) {
			t.Error("deleted, but the registry still has it")
		}
	})
	for _, k := range []client.Kind{client.Crane, client.Oras} {
		t.Run(k.Name+" shows why it may not delete", func(t *testing.T) {
			err := bob(t, k).Delete(t.Context(), client.Ref{Host: p.Host, Repository: "team/app", Digest: img.Manifest.Digest})
			refusedByID(t, journal, err)
			if !p.Manifest("team/app", img.Manifest.Digest) {
				t.Error("it is gone")
			}
		})
	}
}

// refusedByID returns the decision whose id a person was shown.
func refusedByID(t *testing.T, journal *tidewaiter.Journal, err error) (found tidewaiter.Entry) {
	t.Helper()
	if err == nil {
		t.Fatal("it was not refused")
	}
	id := decisionID.FindString(err.Error())
	if id == "" || !strings.Contains(strings.ToLower(err.Error()), "denied: ") {
		t.Fatalf("there is no decision in %v", err)
	}
	part.Await(t, "decision "+id+" in the journal", func(context.Context) error {
		entries := journal.Entries()
		at := slices.IndexFunc(entries, func(e tidewaiter.Entry) bool { return e.ID == id })
		if at < 0 || entries[at].Decision == nil {
			return fmt.Errorf("it is not there")
		}
		found = entries[at]
		return nil
	})
	return found
}
