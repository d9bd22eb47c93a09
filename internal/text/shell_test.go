package text

import "testing"

func TestPathsAreQuotedForShells(t *testing.T) {
	for path, want := range map[string]string{
		"/a/b-c_d.e":  "/a/b-c_d.e",
		"":            "''",
		"/a b":        "'/a b'",
		"/it's":       `'/it'\''s'`,
		"/$(reboot)":  "'/$(reboot)'",
		"/a;rm -rf b": "'/a;rm -rf b'",
	} {
		if got := Shell(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
