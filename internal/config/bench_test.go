package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// manyRules returns a policy in YAML with n rules of 90 bytes each.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("policy:\n  roles: { writer: [pull, push] }\n  rules:\n")
	for i := range n {
		fmt.Fprintf(&b, "    - { name: rule %d, subjects: [\"group:g%d\"], repositories: [\"team%d/**\"], role: writer }\n", i, i%500, i)
	}
	return b.String()
}

// BenchmarkLoad measures how long Load takes to read, parse, decode, check and compile 10,000
// rules (0.9 MB of YAML).
func BenchmarkLoad(b *testing.B) {
	dir := b.TempDir()
	writeKeys(b, dir)
	file := filepath.Join(dir, "tidewaiter.yaml")
	text := "registries: [{service: r}]\n" + manyRules(10_000)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(file, Options{Keys: dir}); err != nil {
			b.Fatal(err)
		}
	}
}

// writeKeys writes two files into dir. Load accepts the files as a signing root, because Load does
// not read their content.
func writeKeys(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{"cert.pem", "privatekey.pem"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("PEM"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
