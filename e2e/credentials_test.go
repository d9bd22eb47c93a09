package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/client"
	"github.com/tidewaiter/tidewaiter/e2e/idtoken"
	"github.com/tidewaiter/tidewaiter/e2e/image"
	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/registry"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
	"github.com/tidewaiter/tidewaiter/notification"
)

// credential is a kind of credential of users and programs: a column of the second table.
type credential string

const (
	password    credential = "user: password"
	accessToken credential = "user: access token"
	narrowed    credential = "user: access token restricted to pull"
	refresh     credential = "user: refresh token"
	robot       credential = "robot: secret"
	robotBefore credential = "robot: previous secret"
	directory   credential = "directory: password"
	github      credential = "GitHub Actions: ID token"
	kubernetes  credential = "Kubernetes: ID token"
)

var credentials = []credential{password, accessToken, narrowed, refresh, robot, robotBefore, directory, github, kubernetes}

// credentialSuite is a Tidewaiter with all kinds of credentials, and a registry that trusts it.
type credentialSuite struct {
	*tidewaiter.Tidewaiter
	journal    *tidewaiter.Journal
	registry   *registry.Registry
	github     *idtoken.Issuer
	kubernetes *idtoken.Issuer
	seen       *compatibility
}

// credentialsService is the service name of the registry in a credentialSuite.
const credentialsService = "registry-3.1"

// testCredentials tests every client with every kind of credential.
func testCredentials(t *testing.T, kinds []client.Kind, seen *compatibility) {
	o := ldaptest.New(t)
	s := credentialSuite{github: idtoken.Start(t), kubernetes: idtoken.Start(t), seen: seen}
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
		s.github.URL, s.kubernetes.URL), credentialsService)
	s.journal = s.Journal(t)
	s.registry = registry.Start(t, registry.V31, trust(s.Tidewaiter, credentialsService))
	s.Command(t, "", "group", "add", "team")
	t.Run("with", func(t *testing.T) {
		for _, k := range kinds {
			t.Run(k.Name, func(t *testing.T) {
				t.Parallel()
				k.New(t) // skips early if the client is not installed
				s.useEach(t, k)
			})
		}
	})
}

// clientCredential is a credential of one client.
type clientCredential struct {
	credential
	name, secret string // if name is "", secret is a refresh token
	actor        string // the actor in the registry's events
	client.Client
}

// useEach makes one client use each kind of credential. Then useEach revokes the credentials that
// can be revoked, and the client tries to pull with its stored credentials.
func (s credentialSuite) useEach(t *testing.T, k client.Kind) {
	user, bot, phrase := "ann-"+k.Name, "ci-"+k.Name, "the password of ann with "+k.Name
	login := "robot+" + bot
	s.Command(t, phrase, "user", "add", user, "--group", "team", "--password-stdin")
	whole := s.Command(t, "", "token", "create", "--user", user, "--name", "laptop")
	narrow := s.Command(t, "", "token", "create", "--user", user, "--name", "scanner", "--repositories", "team/**", "--actions", "pull")
	before := s.Command(t, "", "robot", "add", bot, "--group", "team")
	after := s.Command(t, "", "robot", "rotate", bot)
	asked := s.Ask(t, user, phrase, credentialsService)
	if asked.Refresh == "" {
		t.Fatalf("%s got no refresh token: status %d", user, asked.Status)
	}

	of := map[credential]*clientCredential{}
	for _, c := range []clientCredential{
		{credential: password, name: user, secret: phrase, actor: user},
		{credential: accessToken, name: user, secret: whole.Secret, actor: user},
		{credential: narrowed, name: user, secret: narrow.Secret, actor: user},
		{credential: refresh, secret: asked.Refresh, actor: user},
		{credential: robot, name: login, secret: after.Secret, actor: login},
		{credential: robotBefore, name: login, secret: before.Secret, actor: login},
		{credential: directory, name: "BOB", secret: "can he fix it", actor: "bob"},
		{credential: github, name: "octocat", secret: s.github.Token(t, "registries", idtoken.GitHub()), actor: "github:acme/app"},
		{credential: kubernetes, name: "oidc", secret: s.kubernetes.Token(t, "registries", idtoken.Kubernetes()), actor: "system:serviceaccount:ci:builder"},
	} {
		c.Client = k.New(t)
		of[c.credential] = &c
		if err := s.useCredential(t, k, &c, user, phrase); err != nil {
			s.seen.noteCredential(k, c.credential, fails)
			t.Errorf("%s: %v", c.credential, err)
			continue
		}
		s.seen.noteCredential(k, c.credential, works)
	}
	if t.Failed() {
		return
	}

	s.Command(t, "", "token", "revoke", whole.ID)
	s.awaitRevocation(t, k, of[accessToken])
	if got := s.Ask(t, user, phrase, credentialsService).Status; got != http.StatusOK {
		t.Errorf("after one token was revoked, the password gets status %d", got)
	}
	s.Command(t, "", "user", "disable", user)
	s.awaitRevocation(t, k, of[password], of[narrowed], of[refresh])
	s.Command(t, "", "robot", "disable", bot)
	s.awaitRevocation(t, k, of[robot], of[robotBefore])
}

// useCredential signs in, pushes and pulls. If the credential is restricted to pull, the client
// pulls the image of the user, and the push of the client must be refused.
func (s credentialSuite) useCredential(t *testing.T, k client.Kind, c *clientCredential, user, phrase string) error {
	ctx := t.Context()
	if err := s.signIn(ctx, c, user, phrase); err != nil {
		return fmt.Errorf("signing in: %w", err)
	}
	app := s.repository(k, c.credential)
	digest, err := c.Push(ctx, app, image.New(t, format(k)))
	if c.credential == narrowed {
		switch {
		case err == nil:
			return errors.New("the push was not refused")
		case !refusal.MatchString(err.Error()):
			return fmt.Errorf("the push failed for another reason than a refusal: %w", err)
		case s.registry.Touched(app.Repository):
			return errors.New("the push was refused, but the registry stored a part of the image")
		}
		app = s.repository(k, password)
		digest = s.registry.Tag(app.Repository, app.Tag)
	} else if err != nil {
		return fmt.Errorf("pushing: %w", err)
	} else if stored := s.registry.Tag(app.Repository, app.Tag); stored != digest {
		return fmt.Errorf("pushed %s, but the registry has %q", digest, stored)
	} else {
		s.awaitPush(t, app, digest, c.actor)
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

// signIn stores a credential in a client. If the client's login requests refresh tokens, the
// refresh token comes from this login. Otherwise it comes from the login of another client.
func (s credentialSuite) signIn(ctx context.Context, c *clientCredential, user, phrase string) error {
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
		err = errors.New("the client stores the password")
	}
	return err
}

// repository returns the repository that client k uses with credential c.
func (s credentialSuite) repository(k client.Kind, c credential) client.Ref {
	name := strings.ToLower(strings.NewReplacer(": ", "/", " ", "-").Replace(string(c)))
	return client.Ref{Host: s.registry.Host, Repository: "team/" + k.Name + "/" + name, Tag: image.Tag}
}

// awaitPush waits until the journal has a push of the given digest to the repository app by the
// given actor.
func (s credentialSuite) awaitPush(t *testing.T, app client.Ref, digest, actor string) {
	t.Helper()
	j := journey{service: credentialsService, journal: s.journal}
	j.awaitEvent(t, notification.Push, func(e notification.Event) bool {
		return e.Repository == app.Repository && e.Digest == digest && e.Actor == actor
	})
}

// awaitRevocation waits until Tidewaiter rejects the revoked credentials, and checks that the
// client can no longer pull.
func (s credentialSuite) awaitRevocation(t *testing.T, k client.Kind, revoked ...*clientCredential) {
	t.Helper()
	for _, c := range revoked {
		s.awaitRejection(t, c, c.name, c.secret)
		// A revocation takes effect within two seconds if the credential is cached, and at once if
		// the credential is not cached. Recently used credentials are cached. So this function
		// also waits until the client's stored refresh token is rejected.
		if keeper, keeps := c.Client.(client.Keeper); keeps {
			kept, err := keeper.Kept(s.registry.Host)
			if err != nil {
				t.Fatal(err)
			}
			if kept != "" {
				s.awaitRejection(t, c, "", kept)
			}
		}
		app := s.repository(k, c.credential)
		if c.credential == narrowed {
			app = s.repository(k, password)
		}
		if _, err := c.Pull(t.Context(), app); err == nil || !refusal.MatchString(err.Error()) {
			s.seen.noteCredential(k, c.credential, fails)
			t.Errorf("%s was revoked, and the pull returned: %v", c.credential, err)
		}
	}
}

// awaitRejection waits until Tidewaiter rejects a credential. If the name is "", the secret is
// a refresh token.
func (s credentialSuite) awaitRejection(t *testing.T, c *clientCredential, name, secret string) {
	t.Helper()
	process.Await(t, "the end of "+string(c.credential), func(context.Context) error {
		if got := s.Ask(t, name, secret, credentialsService).Status; got != http.StatusUnauthorized {
			return fmt.Errorf("the answer is %d", got)
		}
		return nil
	})
}
