package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/keyless"
	"github.com/tidewaiter/tidewaiter/e2e/part"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
	"github.com/tidewaiter/tidewaiter/notification"
)

// credential is something that people and programs show: a column of the second table.
type credential string

const (
	password    credential = "user: password"
	accessToken credential = "user: access token"
	narrowed    credential = "user: access token narrowed to pull"
	refresh     credential = "user: refresh token"
	robot       credential = "robot: secret"
	robotBefore credential = "robot: secret before the last"
	directory   credential = "directory: password"
	github      credential = "GitHub Actions: ID token"
	kubernetes  credential = "Kubernetes: ID token"
)

var credentials = []credential{password, accessToken, narrowed, refresh, robot, robotBefore, directory, github, kubernetes}

// showing is one Tidewaiter that knows all kinds of credentials, and the registry behind it.
type showing struct {
	*tidewaiter.Tidewaiter
	journal    *tidewaiter.Journal
	registry   *registry.Registry
	github     *keyless.Issuer
	kubernetes *keyless.Issuer
	seen       *compatibility
}

// everyWayIn is the service that showing asks for.
const everyWayIn = "registry-3.1"

// showCredentials holds every client against every kind of credential.
func showCredentials(t *testing.T, kinds []client.Kind, seen *compatibility) {
	o := ldaptest.New(t)
	s := showing{github: keyless.Start(t), kubernetes: keyless.Start(t), seen: seen}
	s.Tidewaiter = tidewaiter.StartWith(t, fmt.Sprintf(`identity:
  - accounts: {}
  - ldap:
      name: corp
      servers: ["ldaps://%s"]
      ca: %q
      bind_dn: %q
      bind_password_file: %q
      user: { base: %q }
      groups: { base: %q }
  - oidc: { name: github, preset: github-actions, issuer: %q, audience: registries, require: { repository_owner: acme } }
  - oidc: { name: cluster, preset: kubernetes, issuer: %q, audience: registries }
policy:
  rules:
    - name: the team
      subjects: ["group:team", "group:dev", "group:github:acme", "group:system:serviceaccounts:ci"]
      repositories: ["team/**"]
      actions: [pull, push]
`, o.Secure, o.File(ldaptest.CAFile), ldaptest.Reader, o.File(ldaptest.ReaderFile), ldaptest.People, ldaptest.Groups,
		s.github.URL, s.kubernetes.URL), everyWayIn)
	s.journal = s.Journal(t)
	s.registry = registry.Start(t, registry.V31, trust(s.Tidewaiter, everyWayIn))
	s.Command(t, "", "group", "add", "team")
	t.Run("with", func(t *testing.T) {
		for _, k := range kinds {
			t.Run(k.Name, func(t *testing.T) {
				t.Parallel()
				k.New(t) // before anything is made for a client that there is not
				s.show(t, k)
			})
		}
	})
}

// shown is what one client shows.
type shown struct {
	credential
	name, secret string // without a name, the secret is a refresh token
	actor        string // as events of the registry call whose it is
	client.Client
}

// show lets one client use each kind of credential, then takes away what can be taken away, and lets the
// client try again with what it still remembers.
func (s showing) show(t *testing.T, k client.Kind) {
	user, bot, phrase := "ann-"+k.Name, "ci-"+k.Name, "the password of ann with "+k.Name
	login := "robot+" + bot
	s.Command(t, phrase, "user", "add", user, "--group", "team", "--password-stdin")
	whole := s.Command(t, "", "token", "create", "--user", user, "--name", "laptop")
	narrow := s.Command(t, "", "token", "create", "--user", user, "--name", "scanner", "--repositories", "team/**", "--actions", "pull")
	before := s.Command(t, "", "robot", "add", bot, "--group", "team")
	after := s.Command(t, "", "robot", "rotate", bot)
	asked := s.Ask(t, user, phrase, everyWayIn)
	if asked.Refresh == "" {
		t.Fatalf("%s got no refresh token: %d", user, asked.Status)
	}

	of := map[credential]*shown{}
	for _, c := range []shown{
		{credential: password, name: user, secret: phrase, actor: user},
		{credential: accessToken, name: user, secret: whole.Secret, actor: user},
		{credential: narrowed, name: user, secret: narrow.Secret, actor: user},
		{credential: refresh, secret: asked.Refresh, actor: user},
		{credential: robot, name: login, secret: after.Secret, actor: login},
		{credential: robotBefore, name: login, secret: before.Secret, actor: login},
		{credential: directory, name: "BOB", secret: "can he fix it", actor: "bob"},
		{credential: github, name: "octocat", secret: s.github.Token(t, "registries", keyless.GitHub()), actor: "github:acme/app"},
		{credential: kubernetes, name: "oidc", secret: s.kubernetes.Token(t, "registries", keyless.Kubernetes()), actor: "system:serviceaccount:ci:builder"},
	} {
		c.Client = k.New(t)
		of[c.credential] = &c
		if err := s.use(t, k, &c, user, phrase); err != nil {
			s.seen.show(k, c.credential, fails)
			t.Errorf("%s: %v", c.credential, err)
			continue
		}
		s.seen.show(k, c.credential, works)
	}
	if t.Failed() {
		return
	}

	s.Command(t, "", "token", "revoke", whole.ID)
	s.gone(t, k, of[accessToken])
	if got := s.Ask(t, user, phrase, everyWayIn).Status; got != http.StatusOK {
		t.Errorf("one token was revoked, and the password gets %d", got)
	}
	s.Command(t, "", "user", "disable", user)
	s.gone(t, k, of[password], of[narrowed], of[refresh])
	s.Command(t, "", "robot", "disable", bot)
	s.gone(t, k, of[robot], of[robotBefore])
}

// use signs in, pushes and pulls; with what is narrowed, it pulls what the user pushed, and may not push.
func (s showing) use(t *testing.T, k client.Kind, c *shown, user, phrase string) error {
	ctx := t.Context()
	if c.credential == github || c.credential == kubernetes {
		// An issuer is asked for new keys only so often.
		part.Await(t, "the key of "+string(c.credential), func(context.Context) error {
			return s.answers(t, c.name, c.secret, http.StatusOK)
		})
	}
	if err := s.signIn(ctx, c, user, phrase); err != nil {
		return fmt.Errorf("signing in: %w", err)
	}
	app := s.app(k, c.credential)
	digest, err := c.Push(ctx, app, image.New(t, format(k)))
	if c.credential == narrowed {
		switch {
		case err == nil:
			return errors.New("pushing was not refused")
		case !refusal.MatchString(err.Error()):
			return fmt.Errorf("pushing failed, and was not refused: %w", err)
		case s.registry.Touched(app.Repository):
			return errors.New("pushing was refused, but the registry has something of it")
		}
		app = s.app(k, password)
		digest = s.registry.Tag(app.Repository, app.Tag)
	} else if err != nil {
		return fmt.Errorf("pushing: %w", err)
	} else if stored := s.registry.Tag(app.Repository, app.Tag); stored != digest {
		return fmt.Errorf("pushed %s, but the registry has %q", digest, stored)
	} else {
		s.recorded(t, app, digest, c.actor)
	}
	got, err := c.Pull(ctx, app)
	if err == nil && got != digest {
		err = fmt.Errorf("got %s, not %s", got, digest)
	}
	if err != nil {
		return fmt.Errorf("pulling: %w", err)
	}
	return nil
}

// signIn lets a client have its credential. A refresh token is one that its own login gets, if it is a
// client that asks for them, else one that another client's login left.
func (s showing) signIn(ctx context.Context, c *shown, user, phrase string) error {
	if c.credential != refresh {
		return c.Login(ctx, s.registry.Host, c.name, c.secret)
	}
	keeper, keeps := c.Client.(client.Keeper)
	if !keeps {
		return c.Keep(s.registry.Host, user, c.secret)
	}
	if err := c.Login(ctx, s.registry.Host, user, phrase); err != nil {
		return err
	}
	kept, err := keeper.Kept(s.registry.Host)
	if err == nil && kept == "" {
		err = errors.New("it keeps the password")
	}
	return err
}

// app is a repository of its own for each client and credential.
func (s showing) app(k client.Kind, c credential) client.Ref {
	name := strings.ToLower(strings.NewReplacer(": ", "/", " ", "-").Replace(string(c)))
	return client.Ref{Host: s.registry.Host, Repository: "team/" + k.Name + "/" + name, Tag: image.Tag}
}

// recorded waits until the journal has a push, by whom it was.
func (s showing) recorded(t *testing.T, app client.Ref, digest, actor string) {
	t.Helper()
	j := journey{service: everyWayIn, journal: s.journal}
	j.event(t, notification.Push, func(e notification.Event) bool {
		return e.Repository == app.Repository && e.Digest == digest && e.Actor == actor
	})
}

// answers returns nil if the token endpoint answers a credential with that status. Without a name,
// the secret is a refresh token.
func (s showing) answers(t *testing.T, name, secret string, status int) error {
	if got := s.Ask(t, name, secret, everyWayIn).Status; got != status {
		return fmt.Errorf("the answer is %d", got)
	}
	return nil
}

// gone waits until Tidewaiter refuses what was revoked, and checks that the client then cannot pull.
func (s showing) gone(t *testing.T, k client.Kind, revoked ...*shown) {
	t.Helper()
	for _, c := range revoked {
		s.refuses(t, c, c.name, c.secret)
		// What a command revokes ends within two seconds, but not all of it at the same moment: a
		// credential that was used a moment ago is remembered, another is not. So wait for what
		// the client sends, too.
		if keeper, keeps := c.Client.(client.Keeper); keeps {
			kept, err := keeper.Kept(s.registry.Host)
			if err != nil {
				t.Fatal(err)
			}
			if kept != "" {
				s.refuses(t, c, "", kept)
			}
		}
		app := s.app(k, c.credential)
		if c.credential == narrowed {
			app = s.app(k, password)
		}
		if _, err := c.Pull(t.Context(), app); err == nil || !refusal.MatchString(err.Error()) {
			s.seen.show(k, c.credential, fails)
			t.Errorf("%s was revoked, and pulling said: %v", c.credential, err)
		}
	}
}

// refuses waits until Tidewaiter refuses a credential.
func (s showing) refuses(t *testing.T, c *shown, name, secret string) {
	t.Helper()
	part.Await(t, "the end of "+string(c.credential), func(context.Context) error {
		return s.answers(t, name, secret, http.StatusUnauthorized)
	})
}
