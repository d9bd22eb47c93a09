package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/e2e/part"
	"github.com/tidewaiter/tidewaiter/e2e/tidewaiter"
)

// soon is how long Tidewaiter takes at most to refuse what a command beside it took away.
const soon = 2 * time.Second

// TestWhatIsTakenAwayEndsSoon takes away each kind of credential with a command beside the running service. A
// machine that stalls may need a second or third attempt; a service that is late is late in all of them.
func TestWhatIsTakenAwayEndsSoon(t *testing.T) {
	const service, password = "registry", "nobody knows that one"
	tw := tidewaiter.StartWith(t, `identity:
  - accounts: {}
policy:
  rules:
    - { name: all, subjects: [signed-in], repositories: ["**"], actions: [pull] }
`, service)
	// Each makes a credential, shows how it is taken away, and leaves nothing in the way of the next.
	for _, tt := range []struct {
		what string
		make func(t *testing.T, id int) (name, secret string, away []string)
	}{
		{"a password, with its user", func(t *testing.T, id int) (string, string, []string) {
			user := fmt.Sprintf("ann-%d", id)
			tw.Command(t, password, "user", "add", user, "--password-stdin")
			return user, password, []string{"user", "disable", user}
		}},
		{"a refresh token, with its user", func(t *testing.T, id int) (string, string, []string) {
			user := fmt.Sprintf("ben-%d", id)
			tw.Command(t, password, "user", "add", user, "--password-stdin")
			return "", tw.Ask(t, user, password, service).Refresh, []string{"user", "disable", user}
		}},
		{"a refresh token alone", func(t *testing.T, id int) (string, string, []string) {
			user := fmt.Sprintf("cat-%d", id)
			tw.Command(t, password, "user", "add", user, "--password-stdin")
			return "", tw.Ask(t, user, password, service).Refresh, []string{"token", "revoke", "--user", user, "--use", "refresh"}
		}},
		{"an access token", func(t *testing.T, id int) (string, string, []string) {
			user := fmt.Sprintf("dan-%d", id)
			tw.Command(t, "", "user", "add", user, "--no-password")
			made := tw.Command(t, "", "token", "create", "--user", user, "--name", "laptop")
			return user, made.Secret, []string{"token", "revoke", made.ID}
		}},
		{"a robot's secret", func(t *testing.T, id int) (string, string, []string) {
			robot := fmt.Sprintf("ci-%d", id)
			return "robot+" + robot, tw.Command(t, "", "robot", "add", robot).Secret, []string{"robot", "disable", robot}
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			var took time.Duration
			for attempt := range 3 {
				name, secret, away := tt.make(t, attempt)
				if got := tw.Ask(t, name, secret, service).Status; got != http.StatusOK {
					t.Fatalf("before it was taken away, the answer is %d", got)
				}
				tw.Command(t, "", away...)
				since := time.Now()
				part.Await(t, "the refusal", func(context.Context) error {
					if tw.Ask(t, name, secret, service).Status != http.StatusUnauthorized {
						return errors.New("it is still good")
					}
					return nil
				})
				if took = time.Since(since); took <= soon {
					return
				}
			}
			t.Errorf("it was refused after %s, and is to be within %s", took, soon)
		})
	}
}
