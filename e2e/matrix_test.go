package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/engine"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
	"github.com/tidewaiter/tidewaiter/notification"
)

// TestCompatibility tests every client with every registry and with every kind of credential. All
// registries trust the same Tidewaiter. At the end, it compares docs/compatibility.md with the
// results.
func TestCompatibility(t *testing.T) {
	t.Parallel()
	versions := []registry.Version{registry.V28, registry.V31}
	kinds := everyClient(engine.Shared(t))
	services := make([]string, len(versions))
	for i, v := range versions {
		services[i] = "registry-" + string(v)
	}
	tw := tidewaiter.Start(t, services...)
	journal := tw.Journal(t)

	seen := &compatibility{}
	t.Run("with", func(t *testing.T) {
		for i, v := range versions {
			t.Run("registry "+string(v), func(t *testing.T) {
				r := registry.Start(t, v, trust(tw, services[i]))
				// This group ends after all its parallel subtests and before the registry
				// stops.
				t.Run("and", func(t *testing.T) {
					for _, k := range kinds {
						t.Run(k.Name, func(t *testing.T) {
							t.Parallel()
							journey{service: services[i], journal: journal, registry: r, kind: k, seen: seen}.run(t)
						})
					}
				})
			})
		}
	})
	t.Run("credentials", func(t *testing.T) { testCredentials(t, kinds, seen) })
	seen.check(t, kinds, versions)
}

// everyClient lists the clients. The Docker Engine is started when a test first needs it.
func everyClient(get func(testing.TB) *engine.Engine) []client.Kind {
	return []client.Kind{
		client.Docker(get), client.Podman, client.Skopeo, client.Crane, client.Oras, client.Regctl, client.Helm, client.Containerd,
	}
}

// trust returns the options with which a registry trusts a Tidewaiter.
func trust(tw *tidewaiter.Tidewaiter, service string) registry.Options {
	return registry.Options{
		Realm:         tw.URL + "/token",
		Service:       service,
		Issuer:        tidewaiter.Issuer,
		Roots:         tw.Roots,
		Notifications: tw.URL + "/notifications",
		Secret:        tw.Authorization(service),
	}
}

// journey is the use of one registry by one client. Each step is also checked in the registry's
// storage, because the output of a client is not a proof.
type journey struct {
	service  string
	journal  *tidewaiter.Journal
	registry *registry.Registry
	kind     client.Kind
	seen     *compatibility
}

func (j journey) run(t *testing.T) {
	ctx := t.Context()
	team := func(name string) client.Ref { return j.ref("team/" + j.kind.Name + "/" + name) }
	app, copied, public := team("app"), team("copy"), j.ref("public/"+j.kind.Name)

	alice, bob, admin, stranger, anonymous := j.kind.New(t), j.kind.New(t), j.kind.New(t), j.kind.New(t), j.kind.New(t)
	j.step(t, login, alice.Login(ctx, j.registry.Host, "alice", tidewaiter.Password("alice")))
	j.must(t, bob.Login(ctx, j.registry.Host, "bob", tidewaiter.Password("bob")))
	j.must(t, admin.Login(ctx, j.registry.Host, "admin", tidewaiter.Password("admin")))

	digest, err := alice.Push(ctx, app, image.New(t, j.format()))
	if err == nil && j.registry.Tag(app.Repository, app.Tag) != digest {
		err = fmt.Errorf("pushed %s, but the registry has %q", digest, j.registry.Tag(app.Repository, app.Tag))
	}
	if !j.step(t, push, err) {
		return
	}
	j.awaitEvent(t, notification.Push, func(e notification.Event) bool {
		return e.Repository == app.Repository && e.Tag == app.Tag && e.Digest == digest && e.Actor == "alice"
	})

	got, err := bob.Pull(ctx, app)
	if err == nil && got != digest {
		err = fmt.Errorf("pulled %s, not %s", got, digest)
	}
	if !j.step(t, pull, err) {
		return
	}
	j.awaitEvent(t, notification.Pull, func(e notification.Event) bool {
		return e.Repository == app.Repository && e.Digest == digest && e.Actor == "bob" && e.Request.Method == "GET"
	})

	err = alice.Copy(ctx, app, copied)
	if err == nil && j.registry.Tag(copied.Repository, copied.Tag) == "" {
		err = errors.New("copied, but the registry has no blob")
	}
	if j.step(t, mount, err) {
		j.awaitEvent(t, notification.Push, func(e notification.Event) bool {
			return e.Repository == copied.Repository && e.Tag == copied.Tag && e.Actor == "alice"
		})
		// Events of one registry arrive in order, so the event of a mount would have arrived
		// before the event of the manifest.
		if j.hasEvent(func(e notification.Event) bool {
			return e.Action == notification.Mount && e.Repository == copied.Repository && e.FromRepository == app.Repository
		}) {
			j.seen.note(j, mount, mounted)
		}
	}

	tags, err := bob.Tags(ctx, app)
	if err == nil && !slices.Equal(tags, []string{app.Tag}) {
		err = fmt.Errorf("the tags are %q", tags)
	}
	j.step(t, list, err)

	err = stranger.Login(ctx, j.registry.Host, "alice", "not her password")
	if err == nil { // this client's login stores credentials without checking them
		_, err = stranger.Push(ctx, team("wrong"), image.New(t, j.format()))
	}
	j.recordRefusal(t, wrongPassword, err, team("wrong"))

	_, err = bob.Push(ctx, team("denied"), image.New(t, j.format()))
	j.recordRefusal(t, deniedPush, err, team("denied"))

	if _, err = alice.Push(ctx, public, image.New(t, j.format())); err != nil {
		t.Fatal(err)
	}
	_, err = anonymous.Pull(ctx, public)
	j.step(t, anonymousPull, err)
	_, err = j.kind.New(t).Pull(ctx, app)
	j.recordRefusal(t, anonymousPull, err, team("none"))

	repositories, err := admin.Catalog(ctx, j.registry.Host)
	if err == nil && !slices.Contains(repositories, app.Repository) {
		err = fmt.Errorf("%s is not in the catalog %q", app.Repository, repositories)
	}
	j.step(t, catalog, err)
	if _, err := alice.Catalog(ctx, j.registry.Host); err == nil {
		t.Error("alice saw the catalog")
	}

	what := client.Ref{Host: app.Host, Repository: app.Repository, Digest: digest}
	if err := alice.Delete(ctx, what); err == nil || !j.registry.Manifest(app.Repository, digest) {
		t.Errorf("alice could delete: %v", err)
	}
	err = admin.Delete(ctx, what)
	if err == nil && j.registry.Manifest(app.Repository, digest) {
		err = errors.New("deleted, but the registry still has it")
	}
	if j.step(t, remove, err) {
		j.awaitEvent(t, notification.Delete, func(e notification.Event) bool {
			return e.Repository == app.Repository && e.Digest == digest && e.Actor == "admin"
		})
	}
}

func (j journey) format() image.Format { return format(j.kind) }

// format returns the image format that a client pushes. The clients together use both formats.
func format(k client.Kind) image.Format {
	if k.Name == client.Crane.Name || k.Name == client.Regctl.Name {
		return image.Schema2
	}
	return image.OCI
}

func (j journey) ref(repository string) client.Ref {
	return client.Ref{Host: j.registry.Host, Repository: repository, Tag: image.Tag}
}

func (j journey) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// step records the result of an operation and reports whether it succeeded.
func (j journey) step(t *testing.T, o operation, err error) bool {
	t.Helper()
	switch {
	case errors.Is(err, client.ErrUnsupported):
		j.seen.note(j, o, absent)
	case err != nil:
		j.seen.note(j, o, fails)
		t.Errorf("%s: %v", o, err)
	default:
		j.seen.note(j, o, works)
	}
	return err == nil
}

// recordRefusal records that an operation was refused, and checks that the registry stored nothing.
func (j journey) recordRefusal(t *testing.T, o operation, err error, untouched client.Ref) {
	t.Helper()
	switch {
	case err == nil:
		j.seen.note(j, o, fails)
		t.Errorf("%s was not refused", o)
	case j.registry.Touched(untouched.Repository):
		j.seen.note(j, o, fails)
		t.Errorf("%s was refused (%v), but the registry stored a part of it", o, err)
	case !refusal.MatchString(err.Error()):
		j.seen.note(j, o, fails)
		t.Errorf("%s failed for another reason than a refusal: %v", o, err)
	default:
		j.seen.note(j, o, works)
		j.seen.refusal(j, o, err)
	}
}

// refusal matches the error that each client prints after a refusal. It does not match errors for
// outages.
var refusal = regexp.MustCompile(`(?i)unauthorized|denied|invalid username/password`)

// awaitEvent waits until the journal has an event with this action for which the function matches
// returns true.
func (j journey) awaitEvent(t *testing.T, action string, matches func(notification.Event) bool) {
	t.Helper()
	process.Await(t, "a "+action+" event in the journal", func(context.Context) error {
		if !j.hasEvent(func(e notification.Event) bool { return e.Action == action && matches(e) }) {
			return errors.New("no such event")
		}
		return nil
	})
}

// hasEvent reports whether the journal has an event of this registry for which the function
// matches returns true.
func (j journey) hasEvent(matches func(notification.Event) bool) bool {
	return slices.ContainsFunc(j.journal.Entries(), func(e tidewaiter.Entry) bool {
		return e.Registry == j.service && e.Event != nil && matches(*e.Event)
	})
}
