package e2e

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/process"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// TestRevokedCredentialsAreRejected revokes each kind of credential by a command while the
// service runs. The service checks for changes once a second.
func TestRevokedCredentialsAreRejected(t *testing.T) {
	const service, password = "registry", "nobody knows that one"
	tw := tidewaiter.StartWith(t, `identity:
  - accounts: {}
policy:
  rules:
    - { name: all, subjects: [signed-in], repositories: ["**"], actions: [pull] }
`, service)
	// Each row creates a credential and returns the command that revokes it. Rows do not affect
	// each other.
	for _, tt := range []struct {
		what string
		make func(t *testing.T) (name, secret string, away []string)
	}{
		{"a password, with its user", func(t *testing.T) (string, string, []string) {
			const user = "ann"
			tw.Command(t, password, "user", "add", user, "--password-stdin")
			return user, password, []string{"user", "disable", user}
		}},
		{"a refresh token, with its user", func(t *testing.T) (string, string, []string) {
			const user = "ben"
			tw.Command(t, password, "user", "add", user, "--password-stdin")
			return "", tw.Ask(t, user, password, service).Refresh, []string{"user", "disable", user}
		}},
		{"only a refresh token", func(t *testing.T) (string, string, []string) {
			const user = "cat"
			tw.Command(t, password, "user", "add", user, "--password-stdin")
			return "", tw.Ask(t, user, password, service).Refresh, []string{"token", "revoke", "--user", user, "--use", "refresh"}
		}},
		{"an access token", func(t *testing.T) (string, string, []string) {
			const user = "dan"
			tw.Command(t, "", "user", "add", user, "--no-password")
			made := tw.Command(t, "", "token", "create", "--user", user, "--name", "laptop")
			return user, made.Secret, []string{"token", "revoke", made.ID}
		}},
		{"a robot's secret", func(t *testing.T) (string, string, []string) {
			const robot = "ci"
			return "robot+" + robot, tw.Command(t, "", "robot", "add", robot).Secret, []string{"robot", "disable", robot}
		}},
		{"a refresh token, with its access token", func(t *testing.T) (string, string, []string) {
			const user = "eve"
			tw.Command(t, "", "user", "add", user, "--no-password")
			made := tw.Command(t, "", "token", "create", "--user", user, "--name", "laptop")
			return "", tw.Ask(t, user, made.Secret, service).Refresh, []string{"token", "revoke", made.ID}
		}},
		{"a refresh token, with its robot", func(t *testing.T) (string, string, []string) {
			const robot = "deploy"
			made := tw.Command(t, "", "robot", "add", robot)
			return "", tw.Ask(t, "robot+"+robot, made.Secret, service).Refresh, []string{"robot", "disable", robot}
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			name, secret, away := tt.make(t)
			if got := tw.Ask(t, name, secret, service).Status; got != http.StatusOK {
				t.Fatalf("before the revocation, the status is %d", got)
			}
			tw.Command(t, "", away...)
			process.Await(t, "the refusal", func(context.Context) error {
				if tw.Ask(t, name, secret, service).Status != http.StatusUnauthorized {
					return errors.New("the credential is still accepted")
				}
				return nil
			})
		})
	}
}
