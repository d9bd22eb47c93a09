package scope_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/scope"
)

// checkParsed checks that the results of Parse have the properties that Parse promises.
func checkParsed(t interface {
	Helper()
	Fatalf(string, ...any)
}, values []string) {
	t.Helper()
	asked, ignored, err := scope.Parse(values)
	if err != nil && !errors.Is(err, scope.ErrTooMuch) {
		t.Fatalf("error %v", err)
	}
	if len(asked) > scope.MaxScopes || len(ignored) > scope.MaxScopes {
		t.Fatalf("%d asked, %d ignored", len(asked), len(ignored))
	}
	seen := map[[2]string]bool{}
	var printed []string
	for _, s := range asked {
		if s.Actions == 0 {
			t.Fatalf("%q has no actions", s)
		}
		if s.Type == scope.TypeRepository && !scope.Repository.Has(s.Actions) {
			t.Fatalf("%q has actions that repositories do not have", s)
		}
		if err := s.Check(); err != nil {
			t.Fatalf("Parse returned the scope, but Check returns %v", err)
		}
		if seen[[2]string{s.Type, s.Name}] {
			t.Fatalf("%q is in the result twice", s)
		}
		seen[[2]string{s.Type, s.Name}] = true
		for _, r := range s.Name {
			if r <= ' ' || r > '~' || r == '*' || r == '\\' {
				t.Fatalf("%q has %q in its name", s, r)
			}
		}
		for part := range strings.SplitSeq(s.Name, "/") {
			if part == "" || part == "." || part == ".." {
				t.Fatalf("%q has a part %q", s, part)
			}
		}
		printed = append(printed, s.String())

		var read scope.Scope
		if err := read.UnmarshalText([]byte(s.String())); err != nil || read != s {
			t.Fatalf("%q was read back as %q, error %v", s, read, err)
		}
	}
	for _, i := range ignored {
		if len(i.Text) > 256 || len(i.Reason) > 256 {
			t.Fatalf("%d bytes of text, %d of reason", len(i.Text), len(i.Reason))
		}
		for _, r := range i.Text + i.Reason {
			if r == utf8.RuneError && !strings.Contains(strings.Join(values, ""), "\ufffd") || !unicode.IsPrint(r) {
				t.Fatalf("the text of %q contains %q", i, r)
			}
		}
	}

	again, ignored, err := scope.Parse(printed)
	if err != nil || len(ignored) > 0 {
		t.Fatalf("parsing %q again: ignored %q, error %v", printed, ignored, err)
	}
	if diff := cmp.Diff(asked, again); diff != "" {
		t.Fatalf("parsing the printed scopes again (-first +again):\n%s", diff)
	}
	if joined, _, err := scope.Parse([]string{strings.Join(printed, " ")}); err != nil || !cmp.Equal(asked, joined) {
		t.Fatalf("parsing the printed scopes as one value: %q, error %v", joined, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"repository:library/alpine:pull",
		"repository:ctr/x:pull repository:ctr/x:pull,push",
		"repository(plugin):host:5000/a__b/c--d.e:*\x1eregistry:catalog:*",
		"repository:[fe80::1]:5000/foo:delete",
		"repository:a/../b:pull\x1erepository:A:pull\x1ex:a\n\x00\xff:pull,fly",
		"tidewaiter:namespace/team@x+y:read,write",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, values string) {
		checkParsed(t, strings.Split(values, "\x1e"))
	})
}

func TestPrintingThenParsingIsTheIdentity(t *testing.T) {
	part := rapid.StringMatching(`[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+){0,2}`)
	name := rapid.Custom(func(t *rapid.T) string {
		host := rapid.SampledFrom([]string{"", "", "", "localhost:5000/", "registry.example.com:443/", "[::1]:5000/"}).Draw(t, "host")
		return host + strings.Join(rapid.SliceOfN(part, 1, 4).Draw(t, "parts"), "/")
	})
	one := rapid.Custom(func(t *rapid.T) string {
		kind := rapid.SampledFrom([]string{"repository", "repository(plugin)", "registry", "tidewaiter"}).Draw(t, "type")
		actions := rapid.SliceOfN(rapid.SampledFrom([]string{"pull", "push", "delete", "*", "read", "fly"}), 1, 4).Draw(t, "actions")
		return kind + ":" + name.Draw(t, "name") + ":" + strings.Join(actions, ",")
	})
	rapid.Check(t, func(t *rapid.T) {
		var values []string
		for _, scopes := range rapid.SliceOfN(rapid.SliceOfN(one, 0, 4), 0, 6).Draw(t, "values") {
			values = append(values, strings.Join(scopes, " "))
		}
		checkParsed(t, values)
	})
}

func TestActionsReadBack(t *testing.T) {
	for a := range scope.Write << 1 {
		var read scope.Actions
		if err := read.UnmarshalText([]byte(a.String())); err != nil || read != a {
			t.Errorf("%q was read back as %q, error %v", a, read, err)
		}
		if got := strings.Join(a.Names(), ","); got != a.String() {
			t.Errorf("the names of %q are %q", a, got)
		}
	}
	var a scope.Actions
	if err := a.UnmarshalText([]byte("pull,fly")); err == nil {
		t.Error("an unknown action was accepted")
	}
}

func TestJSON(t *testing.T) {
	type record struct {
		Asked   scope.Scope
		Granted scope.Actions
		Nothing scope.Scope
	}
	in := record{
		Asked:   scope.Scope{Type: "repository", Class: "plugin", Name: "host:5000/a", Actions: scope.Pull | scope.Delete},
		Granted: scope.Pull,
		Nothing: scope.Scope{Type: "registry", Name: "catalog"},
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"Asked":"repository(plugin):host:5000/a:pull,delete","Granted":"pull","Nothing":"registry:catalog:"}`
	if string(text) != want {
		t.Errorf("wrote %s\nwant  %s", text, want)
	}
	var out record
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("read back (-wrote +read):\n%s", diff)
	}
	for _, bad := range []string{`"x"`, `"repository:A:pull"`, `"repository:A:"`, `"repository:a:fly"`, `":::"`} {
		if err := json.Unmarshal([]byte(bad), new(scope.Scope)); err == nil {
			t.Errorf("%s was accepted as a scope", bad)
		}
	}
}
