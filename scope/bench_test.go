package scope_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/scope"
)

func BenchmarkParse(b *testing.B) {
	var hundred []string
	for i := range scope.MaxScopes {
		hundred = append(hundred, fmt.Sprintf("repository:team/project-%d/app:pull,push", i))
	}
	for _, bb := range []struct {
		name   string
		values []string
	}{
		{"one", []string{"repository:team/app:pull,push"}},
		{"mount", []string{"repository:team/app:pull,push", "repository:library/base:pull"}},
		{"100", []string{strings.Join(hundred, " ")}},
		{"same-500", []string{strings.Repeat("repository:team/app:pull ", 500)}},
		{"ignored", []string{"repository:FOO/bar:pull"}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := scope.Parse(bb.values); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendText(b *testing.B) {
	s := scope.Scope{Type: "repository", Name: "team/app", Actions: scope.Repository}
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = s.AppendText(dst[:0])
	}
}

// Nearly every request has only one scope value, with one scope in it. For such a request, Parse
// allocates only its result.
func TestParseOneScopeAllocatesOnce(t *testing.T) {
	values := []string{"repository:team/app:pull,push"}
	if n := testing.AllocsPerRun(100, func() { scope.Parse(values) }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func TestPrintingIntoABufferAllocatesNothing(t *testing.T) {
	s := scope.Scope{Type: "repository", Name: "team/app", Actions: scope.Repository}
	dst := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() { s.AppendText(dst) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
