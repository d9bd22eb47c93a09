package main

import (
	"os"
	"strings"
	"testing"
)

// `make up` builds both modules one after the other. If the modules required different versions of
// a dependency, the second build could not use the compiled packages of the first build.
func TestModulesRequireTheSameVersions(t *testing.T) {
	ours, root := requiredVersions(t, "go.mod"), requiredVersions(t, "../go.mod")
	common := 0
	for path, version := range root {
		got, ok := ours[path]
		if !ok {
			continue
		}
		common++
		if got != version {
			t.Errorf("go.mod requires %s %s, standalone/go.mod %s: go get the newer one in both", path, version, got)
		}
	}
	if common < 20 {
		t.Fatalf("only %d modules in common: required may not parse go.mod correctly", common)
	}
}

// requiredVersions returns the version of each module in the require blocks of a go.mod file.
func requiredVersions(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && strings.HasPrefix(line, "\t") {
			versions[f[0]] = f[1]
		}
	}
	return versions
}
