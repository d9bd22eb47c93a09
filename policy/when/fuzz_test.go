package when_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidewaiter/tidewaiter/policy/when"
)

// FuzzCompile checks that every text either compiles to a condition that can be evaluated, or
// has errors whose places are in the text.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		`now.getDayOfWeek("Europe/Paris") in [0, 6]`, `cidr("10.0.0.0/8").containsIP(request.ip)`,
		`claims.ref == "refs/heads/main" && has(claims.environment)`, `claims[?"x"].orValue("") == ""`,
		`groups.exists(g, g.matches("^team-"))`, `usr == "a"`, `user ==`, `"`, "user == 'é' &&\n grops", `1 / 0 == claims.run`,
		`optional.none() == optional.of(user)`, `{"a": claims}.a.run > 2`, `b"x" == bytes(user)`, `type(user) == string`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		condition, err := when.NewCompiler().Compile(text)
		if err != nil {
			mistakes, ok := errors.AsType[when.Errors](err)
			if !ok || len(mistakes) == 0 {
				t.Fatalf("%q: %v", text, err)
			}
			lines := strings.Split(text, "\n")
			for _, m := range mistakes {
				if m.Text == "" || m.Line < 1 || m.Line > len(lines) || m.Column < 1 || m.Column > utf8.RuneCountInString(lines[m.Line-1])+1 {
					t.Errorf("%q: %d:%d: %q", text, m.Line, m.Column, m.Text)
				}
			}
			return
		}
		for _, r := range []func() bool{
			func() bool { holds, err := condition.Holds(job()); return holds && err != nil },
			func() bool { holds, err := condition.Holds(ann()); return holds && err != nil },
		} {
			if r() {
				t.Errorf("%q holds, but returned an error", text)
			}
		}
		for _, v := range condition.Explain(job()) {
			if v.Expression == "" || v.Value == "" || len(v.Value) > 300 {
				t.Errorf("%q: %q is %q", text, v.Expression, v.Value)
			}
		}
	})
}
