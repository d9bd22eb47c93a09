package server_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/server"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// bomb is a condition that panics with text that the client sent.
type bomb struct{}

func (bomb) Holds(r *policy.Request) (bool, error)  { panic("cannot use " + r.Client) }
func (bomb) Explain(*policy.Request) []policy.Value { return nil }
func (bomb) String() string                         { return "bomb" }

// Harbor GHSA-prh4-vhfh-24mj, zot CVE-2025-48374: secrets in logs. The log line about a panic
// could contain a secret, too. A panic affects only its own request: the answer does not
// describe the panic, the log has the stack, and the next request is answered.
func TestPanicRevealsNoSecret(t *testing.T) {
	const canary = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLW9mLXRoZS1jYW5hcnk"
	h := newHarness(t, func(_ *server.Options, live *issuer.Live) {
		p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
			{Name: "bomb", Subjects: []string{"anyone"}, Names: []string{"bomb/**"}, Actions: scope.Pull, When: bomb{}},
			{Name: "public", Subjects: []string{"anyone"}, Names: []string{"public/**"}, Actions: scope.Pull},
		}})
		if err != nil {
			t.Fatal(err)
		}
		live.Policy = p
	})
	const path = "/token?service=a.example.com&scope=repository:"
	got := h.ask("GET", path+"bomb/app:pull", "", "User-Agent", "docker/28 "+canary)
	if got.Status != 500 || !strings.Contains(got.Body, "internal error") || strings.Contains(got.Body, "cannot use") {
		t.Errorf("the answer: %s", got)
	}
	log := h.log.String()
	if !strings.Contains(log, "cannot use docker/28 ") || !strings.Contains(log, "panic_test.go") {
		t.Errorf("the log has no stack:\n%s", log)
	}
	for what, text := range map[string]string{"answer": got.Body, "log": log} {
		for _, part := range strings.Split(canary, ".") {
			if strings.Contains(text, part) {
				t.Errorf("the %s has the secret: %s", what, text)
			}
		}
	}
	if got := h.ask("GET", path+"public/app:pull", ""); got.Status != 200 {
		t.Errorf("the next request: %s", got)
	}
}
