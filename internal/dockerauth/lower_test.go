package dockerauth

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The rule's expression matches a directory's value if and only if docker_auth's expression
// matches the value in lower case.
func TestExpressionsBeforeLowerCase(t *testing.T) {
	pieces := rapid.SampledFrom([]string{"a", "i", "k", "s", "ß", "ä", "ÿ", "z", "A", "İ", "[a-z]", "[^a]", "[^A-Z]", ".", "(?i)k", "(?i:s)", "[[:upper:]]", `\w`, `\W`, `\pL`, "(a|k)", "a*", "^", "$", "-", `\.`, "ǆ", "ω"})
	letters := rapid.SampledFrom([]rune("aAiİıIkK\u212asSſßẞäÄzZÿŸ.-_ 0ǅǄωΩ\u2126éΣσς\n"))
	rapid.Check(t, func(t *rapid.T) {
		source := strings.Join(rapid.SliceOfN(pieces, 1, 5).Draw(t, "expression"), "")
		was := regexp.MustCompile(source)
		text, ok := beforeLower(source)
		if !ok {
			t.Fatalf("%q cannot be written", source)
		}
		is, err := regexp.Compile(text)
		if err != nil {
			t.Fatalf("%q became %q: %v", source, text, err)
		}
		for range 20 {
			value := string(rapid.SliceOfN(letters, 0, 5).Draw(t, "value"))
			if want := was.MatchString(strings.ToLower(value)); is.MatchString(value) != want {
				t.Fatalf("%q matches %q in lower case: %v, but %q has the opposite result", source, value, want, text)
			}
		}
	})
	if text, ok := beforeLower(`a\b`); ok {
		t.Errorf("the word boundary became %q, but it has no translation", text)
	}
}
