package credentials_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	secrets "github.com/tidewaiter/tidewaiter/internal/secret"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Secret scanners find every secret, and NewPresented recognizes it. A typing mistake of one
// character, or of two swapped characters, is detected without the database.
func TestSecretsAreRecognizedAndTypingErrorsDetected(t *testing.T) {
	shape := regexp.MustCompile(`^twp_[abcrs][0-9A-Za-z]{38}$`)
	rapid.Check(t, func(t *rapid.T) {
		letter := rapid.SampledFrom([]byte("abcrs")).Draw(t, "letter")
		secret := newSecret(letter).Reveal()
		kind := map[bool]identity.Kind{false: identity.AccessToken, true: identity.RefreshToken}[letter == 'r']
		if got, _, ok := secrets.Parse(secret); !ok || got != letter || !shape.MatchString(secret) || identity.NewPresented("ann", secret).Kind != kind {
			t.Fatalf("%q is not recognized as a secret", secret)
		}
		at := rapid.IntRange(0, len(secret)-1).Draw(t, "at")
		for _, c := range "0aZ_ \x00é" {
			if wrong := secret[:at] + string(c) + secret[at+1:]; wrong != secret && strings.TrimSpace(wrong) == wrong {
				if _, _, ok := secrets.Parse(wrong); ok {
					t.Fatalf("%q is accepted as a secret", wrong)
				}
			}
		}
		if at > 0 && secret[at] != secret[at-1] {
			if _, _, ok := secrets.Parse(secret[:at-1] + secret[at:at+1] + secret[at-1:at] + secret[at+1:]); ok {
				t.Fatalf("swapping two characters of %q is not detected", secret)
			}
		}
	})
}

// A placeholder can stand for several path components. In a token's restrictions, a placeholder
// can also stand for later values of the owner's claims. Only the placeholder itself and patterns
// that end in ** cover a placeholder.
func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		wide, pattern string
		want          bool
	}{
		{"**", "a", true},
		{"a", "a", true},
		{"a", "b", false},
		{"a/**", "a/b/c", true},
		{"a/**", "a/**", true},
		{"a/**", "a", false},
		{"a/**", "b/c", false},
		{"*", "a", true},
		{"*", "a*", true},
		{"*", "**", false},
		{"*", "a/b", false},
		{"a/*", "a", false},
		{"*", "${claims.x}", false},
		{"*/b", "${claims.x}/b", false},
		{"a/*", "a/${claims.x}", false},
		{"*", "${user}", false},
		{"*", "a-${claims.x}", false},
		{"a/**", "a/${claims.x}", true},
		{"${claims.x}", "${claims.x}", true},
		{"${claims.x}", "${claims.y}", false},
		{"${claims.x}", "a", false},
		{"a", "${claims.x}", false},
	} {
		if got := credentials.Covers(tt.wide, tt.pattern); got != tt.want {
			t.Errorf("%q covers %q: %t, want %t", tt.wide, tt.pattern, got, tt.want)
		}
	}
}

// If a pattern covers another pattern, it matches everything that the other pattern matches.
// Otherwise a restricted token could create a token with more rights.
func TestCoversIsSound(t *testing.T) {
	everything, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "all", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull},
	}})
	if err != nil {
		t.Fatal(err)
	}
	matches := func(pattern, name string) bool {
		who := &policy.Principal{Kind: policy.User, Name: "ann", Limits: []policy.Limit{{Names: []string{pattern}, Actions: scope.Pull}}}
		r := everything.Decide(&policy.Request{Principal: who, Scopes: []scope.Scope{{Type: "repository", Name: name, Actions: scope.Pull}}})
		return r.Results[0].Granted != 0
	}
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ann", "*", "**", "a*", "${user}"}), 1, 4)
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ann", "ab"}), 1, 5)
	rapid.Check(t, func(t *rapid.T) {
		pattern := strings.Join(parts.Draw(t, "pattern"), "/")
		if (policy.Limit{Names: []string{pattern}, Actions: scope.Pull}).Check() != nil {
			pattern = "a/*" // ** twice in a row
		}
		// Each draw includes patterns that cover the drawn pattern: the pattern itself, and
		// wider patterns with another end.
		wider := strings.Join(append(strings.Split(pattern, "/")[:strings.Count(pattern, "/")], "**"), "/")
		wider = strings.ReplaceAll(wider, "**/**", "**")
		if !credentials.Covers(pattern, pattern) || !credentials.Covers(wider, pattern) {
			t.Fatalf("%q does not cover itself, or the wider pattern %q does not cover it", pattern, wider)
		}
		wide := strings.Join(parts.Draw(t, "wide"), "/")
		wide = rapid.SampledFrom([]string{wide, "**", pattern, wider}).Draw(t, "covering")
		if (policy.Limit{Names: []string{wide}, Actions: scope.Pull}).Check() != nil || !credentials.Covers(wide, pattern) {
			return
		}
		for range 20 {
			if name := strings.Join(names.Draw(t, "name"), "/"); matches(pattern, name) && !matches(wide, name) {
				t.Fatalf("%q matches %s, but %q does not match it", pattern, name, wide)
			}
		}
	})
}

// A token restricts its owner's rights. If the owner has narrower limits, the owner's limits stay
// in force.
func TestLimitsOfATokenDoNotReplaceNarrowerOnes(t *testing.T) {
	decider, err := policy.Compile(policy.Source{Rules: []policy.Rule{
		{Name: "all", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Repository},
	}})
	if err != nil {
		t.Fatal(err)
	}
	limit := func(name string, actions scope.Actions) []policy.Limit {
		return []policy.Limit{{Names: []string{name}, Actions: actions}}
	}
	const most = scope.Pull | scope.Push
	for _, tt := range []struct {
		what        string
		owner, made []policy.Limit
		want        string // the allowed actions of pull and push, on team/a and on other
	}{
		{"no limits", nil, nil, "pull,push pull,push"},
		{"only the owner has limits", limit("team/**", most), nil, "pull,push "},
		{"only the token has limits", nil, limit("team/**", scope.Pull), "pull "},
		{"a narrower token", limit("team/**", most), limit("team/a", scope.Pull), "pull "},
		{"a token for more names", limit("team/**", most), limit("**", scope.Pull), " "},
		{"a token for other names", limit("team/**", most), limit("other", scope.Pull), " "},
		{"a token for more actions", limit("team/**", scope.Pull), limit("team/**", most), " "},
	} {
		who := credentials.Restricted(&policy.Principal{Kind: policy.User, Name: "ann", Limits: tt.owner}, tt.made)
		var got []string
		for _, name := range []string{"team/a", "other"} {
			d := decider.Decide(&policy.Request{Principal: who, Scopes: []scope.Scope{{Type: "repository", Name: name, Actions: most}}})
			got = append(got, d.Results[0].Granted.String())
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s: granted %q, want %q", tt.what, text, tt.want)
		}
	}
}
