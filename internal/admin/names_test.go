package admin_test

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

// The grammar of names is that of a path component of a repository, so the placeholder ${user}
// can stand for every name. A name is never the login of a robot.
func TestNamesArePathParts(t *testing.T) {
	part := regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`) // distribution/reference
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(
			rapid.StringMatching(`[a-c._\-]{0,8}`), rapid.StringMatching(`[a-zA-Z0-9._+/@ -]{0,12}`), rapid.String(),
		).Draw(t, "name")
		want := len(name) <= 64 && part.MatchString(name)
		if err := admin.CheckName(name); (err == nil) != want {
			t.Fatalf("%q: %v", name, err)
		}
	})
}
