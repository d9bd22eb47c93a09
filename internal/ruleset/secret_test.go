package ruleset_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/ruleset"
	"github.com/tidewaiter/tidewaiter/policy"
)

// An error repeats text that a user has written. Errors are logged and sent to the client. If a
// user writes a secret into the wrong field, the error must not contain the secret or a part of
// it.
func TestErrorsRepeatNoSecret(t *testing.T) {
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	token := b64(`{"alg":"ES256","kid":"k"}`) + "." + b64(`{"sub":"`+strings.Repeat("canary ", 40)+`"}`) + "." + b64(strings.Repeat("s", 64))
	for _, r := range []ruleset.Rule{
		{Effect: ruleset.Effect(token)},
		{Actions: []string{token}},
		{Tidewaiter: []string{token}},
		{Lifetime: token},
	} {
		err := r.Check(func(string) (policy.Condition, error) { return nil, nil })
		if len(err) == 0 {
			t.Errorf("no error of %+v", r)
		}
		if text := err.Error(); strings.Contains(text, token[:20]) || strings.Contains(text, token[40:60]) {
			t.Errorf("the error repeats a token: %s", text)
		}
	}
	rule := policy.Rule{Registries: []string{token}}
	if text := ruleset.CheckRegistries(&rule, []string{"registry.example.com"}).Error(); strings.Contains(text, token[:20]) {
		t.Errorf("the error repeats a token: %s", text)
	}
}
