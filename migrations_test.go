package tidewaiter

import (
	"os"
	"strings"
	"testing"
)

// If two branches each add a migration with the same number, git merges them without a conflict.
// After such a merge, no database could be opened.
func TestMigrationNumbersAreUnique(t *testing.T) {
	for _, database := range []string{"sqlite", "postgres"} {
		files, err := os.ReadDir("internal/store/migrations/" + database)
		if err != nil || len(files) == 0 {
			t.Fatalf("%d migrations, %v", len(files), err)
		}
		numbers := make(map[string]string)
		for _, f := range files {
			number, _, _ := strings.Cut(f.Name(), "_")
			if other, taken := numbers[number]; taken {
				t.Errorf("%s: %s and %s have the same number", database, other, f.Name())
			}
			numbers[number] = f.Name()
		}
	}
}
