package scope_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/scope"
)

// repository returns a scope of the type "repository".
func repository(name string, actions scope.Actions) scope.Scope {
	return scope.Scope{Type: scope.TypeRepository, Name: name, Actions: actions}
}

func TestParseWhatClientsSend(t *testing.T) {
	const pullPush = scope.Pull | scope.Push
	for _, tt := range []struct {
		who    string
		values []string
		want   []scope.Scope
	}{
		{"docker login requests no scope", nil, nil},
		{"an empty parameter has no scope", []string{"", "  "}, nil},
		{"docker pulls", []string{"repository:library/alpine:pull"},
			[]scope.Scope{repository("library/alpine", scope.Pull)}},
		{"crane names push before pull", []string{"repository:team/app:push,pull"},
			[]scope.Scope{repository("team/app", pullPush)}},
		{"two scopes in one value", []string{"repository:conf/repo1:pull,push repository:conf/repo2:pull"},
			[]scope.Scope{repository("conf/repo1", pullPush), repository("conf/repo2", scope.Pull)}},
		{"podman repeats the parameter", []string{"repository:a:pull", "repository:b:pull"},
			[]scope.Scope{repository("a", scope.Pull), repository("b", scope.Pull)}},
		{"containerd names one repository twice", []string{"repository:ctr/x:pull repository:ctr/x:pull,push"},
			[]scope.Scope{repository("ctr/x", pullPush)}},
		{"kaniko names one repository twice, apart", []string{"repository:x:pull", "repository:y:pull", "repository:x:push"},
			[]scope.Scope{repository("x", pullPush), repository("y", scope.Pull)}},
		{"skopeo deletes with a star", []string{"repository:team/app:*"},
			[]scope.Scope{repository("team/app", scope.Repository)}},
		{"the star of the catalog does not change", []string{"registry:catalog:*"},
			[]scope.Scope{{Type: scope.TypeRegistry, Name: "catalog", Actions: scope.All}}},
		{"a name with a host and a port", []string{"repository:host.example:5000/foo:pull"},
			[]scope.Scope{repository("host.example:5000/foo", scope.Pull)}},
		{"a name with an IPv6 address", []string{"repository:[fe80::1]:5000/foo:pull repository:[::1]/foo:pull"},
			[]scope.Scope{repository("[fe80::1]:5000/foo", scope.Pull), repository("[::1]/foo", scope.Pull)}},
		{"a plugin has a class", []string{"repository(plugin):vieux/sshfs:pull"},
			[]scope.Scope{{Type: scope.TypeRepository, Class: "plugin", Name: "vieux/sshfs", Actions: scope.Pull}}},
		{"a merged scope has the first class", []string{"repository:p:pull repository(plugin):p:push repository(image):p:pull"},
			[]scope.Scope{{Type: scope.TypeRepository, Class: "plugin", Name: "p", Actions: pullPush}}},
		{"the same name of two types is two scopes", []string{"registry:catalog:* repository:catalog:pull"},
			[]scope.Scope{{Type: scope.TypeRegistry, Name: "catalog", Actions: scope.All}, repository("catalog", scope.Pull)}},
		{"a right over Tidewaiter is parsed like any other", []string{"tidewaiter:namespace/team:read,write"},
			[]scope.Scope{{Type: scope.TypeTidewaiter, Name: "namespace/team", Actions: scope.Read | scope.Write}}},
		{"every separator of the grammar", []string{"repository:a.b/c_d/e__f/g-h/i---j/0:pull"},
			[]scope.Scope{repository("a.b/c_d/e__f/g-h/i---j/0", scope.Pull)}},
		{"an action is repeated, with an additional comma", []string{"repository:a:pull,,pull,"},
			[]scope.Scope{repository("a", scope.Pull)}},
	} {
		t.Run(tt.who, func(t *testing.T) {
			asked, ignored, err := scope.Parse(tt.values)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if len(ignored) > 0 {
				t.Errorf("ignored %q", ignored)
			}
		})
	}
}

// longWord is one letter longer than a type or a class may be.
var longWord = strings.Repeat("a", 65)

func TestLongestTypesAndClasses(t *testing.T) {
	word := longWord[1:]
	for _, text := range []string{word + ":x:pull", "repository(" + word + "):x:pull"} {
		if asked, ignored, err := scope.Parse([]string{text}); err != nil || len(asked) != 1 || len(ignored) != 0 {
			t.Errorf("%s: %v, ignored %v, %v", text, asked, ignored, err)
		}
	}
}

func TestParseIgnores(t *testing.T) {
	for _, tt := range []struct{ text, shown, reason string }{
		{"x", "x", "it does not have the form type:name:actions"},
		{"repository:x", "repository:x", "it does not have the form type:name:actions"},
		{"::", "::", "the type must consist of lower-case letters and digits"},
		{"Repository:x:pull", "Repository:x:pull", "the type must consist of lower-case letters and digits"},
		{longWord + ":x:pull", longWord + ":x:pull", "the type must consist of lower-case letters and digits"},
		{"repository(" + longWord + "):x:pull", "repository(" + longWord + "):x:pull", "the class must consist of lower-case letters and digits"},
		{"repository():x:pull", "repository():x:pull", "the class must consist of lower-case letters and digits"},
		{"repository(plugin:x:pull", "repository(plugin:x:pull", "the class must consist of lower-case letters and digits"},
		{"repository(a)(b):x:pull", "repository(a)(b):x:pull", "the class must consist of lower-case letters and digits"},
		{"repository:x:", "repository:x:", "it has no action"},
		{"repository:x:,", "repository:x:,", "it has no action"},
		{"repository::pull", "repository::pull", "the name is empty"},
		{"repository:*:pull", "repository:*:pull", "the name has a character that is not allowed in repositories"},
		{"repository:FOO/bar:pull", "repository:FOO/bar:pull", "the name has an upper-case letter"},
		{"repository:foo/Bar:pull", "repository:foo/Bar:pull", "the name has an upper-case letter"},
		{"repository:HOST:5000/bar:pull", "repository:HOST:5000/bar:pull", "the name has an upper-case letter"},
		{"repository:host:5000:pull", "repository:host:5000:pull", "the name is only a host"},
		{"repository:host:/foo:pull", "repository:host:/foo:pull", "the host before the name is not host:port"},
		{"repository:host:port/foo:pull", "repository:host:port/foo:pull", "the host before the name is not host:port"},
		{"repository:-host:5000/foo:pull", "repository:-host:5000/foo:pull", "the host before the name is not host:port"},
		{"repository:[::1/foo:pull", "repository:[::1/foo:pull", "the host before the name is not host:port"},
		{"repository:a/../b:pull", "repository:a/../b:pull", `the name has a part ".."`},
		{"repository:./b:pull", "repository:./b:pull", `the name has a part "."`},
		{"repository:/b:pull", "repository:/b:pull", "the name has an empty part"},
		{"repository:a//b:pull", "repository:a//b:pull", "the name has an empty part"},
		{"repository:a/:pull", "repository:a/:pull", "the name has an empty part"},
		{"repository:a..b:pull", "repository:a..b:pull", "the name has several separators in a row"},
		{"repository:a___b:pull", "repository:a___b:pull", "the name has several separators in a row"},
		{"repository:a-.b:pull", "repository:a-.b:pull", "the name has several separators in a row"},
		{"repository:-a:pull", "repository:-a:pull", "a part of the name begins or ends with a separator"},
		{"repository:a_/b:pull", "repository:a_/b:pull", "a part of the name begins or ends with a separator"},
		{"repository:a%2fb:pull", "repository:a%2fb:pull", "the name has a character that is not allowed in repositories"},
		{"repository:\u00e9:pull", `repository:é:pull`, "the name has a character that is not allowed in repositories"},
		{"repository:a\x00b:pull", `repository:a\x00b:pull`, "the name has a control character"},
		{"repository:a\nlevel=ERROR:pull", `repository:a\nlevel=ERROR:pull`, "the name has a control character"},
		{"repository:a\x1b[2J:pull", `repository:a\x1b[2J:pull`, "the name has a control character"},
		{"repository:a\x7fb:pull", `repository:a\x7fb:pull`, "the name has a control character"},
		{"repository:a\xffb:pull", `repository:a\xffb:pull`, "the name is not UTF-8"},
		{"repository:a\u202eb:pull", `repository:a\u202eb:pull`, "the name has a character that is not allowed in repositories"},
		{"registry:cata*log:*", "registry:cata*log:*", "the name has a character that is not allowed"},
		{"tidewaiter:namespace/../x:read", "tidewaiter:namespace/../x:read", `the name has a part ".."`},
		{"tidewaiter:a//b:read", "tidewaiter:a//b:read", "the name has an empty part"},
		{"tidewaiter:a\rb:read", `tidewaiter:a\rb:read`, "the name has a control character"},
		{"repository:x:admin", "repository:x:admin", `unknown action "admin"`},
		{"repository:x:read", "repository:x:read", `unknown action "read"`},
		// The action write exists only for the type tidewaiter. Action names are in lower case.
		{"registry:catalog:write", "registry:catalog:write", `unknown action "write"`},
		{"repository:x:PULL", "repository:x:PULL", `unknown action "PULL"`},
		{"repository:x:a,b,c", "repository:x:a,b,c", `unknown action "a", and others`},
		{"repository:x:a\nb", `repository:x:a\nb`, `unknown action "a\nb"`},
	} {
		t.Run(tt.shown, func(t *testing.T) {
			asked, ignored, err := scope.Parse([]string{tt.text, "repository:next:pull"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]scope.Ignored{{Text: tt.shown, Reason: tt.reason}}, ignored); diff != "" {
				t.Errorf("ignored (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]scope.Scope{repository("next", scope.Pull)}, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUnknownActionsAreDropped(t *testing.T) {
	asked, ignored, err := scope.Parse([]string{"repository:x:pull,fly,push"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]scope.Scope{repository("x", scope.Pull|scope.Push)}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]scope.Ignored{{Text: "repository:x:pull,fly,push", Reason: `unknown action "fly"`}}, ignored); diff != "" {
		t.Errorf("ignored (-want +got):\n%s", diff)
	}
}

// A registry copies the query of a request into its challenge, so a third party can put whole
// scopes there. Such scopes are parsed like any other scope. The policy decides about such scopes,
// too, so a token never grants more than the client may do.
func TestScopeInjectedThroughAChallenge(t *testing.T) {
	asked, _, err := scope.Parse([]string{"repository:app:pull repository:x:pull repository:admin/secret:push:pull"})
	if err != nil {
		t.Fatal(err)
	}
	want := []scope.Scope{repository("app", scope.Pull), repository("x", scope.Pull)}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// A registry treats a literal "*" in a token as every action. So a grant for a repository never
// contains "*".
func TestStarOnARepositoryIsThreeActions(t *testing.T) {
	for _, text := range []string{"repository:a:*", "repository(x):a:*", "repository:a:pull,*"} {
		asked, _, err := scope.Parse([]string{text})
		if err != nil || len(asked) != 1 || asked[0].Actions != scope.Repository {
			t.Errorf("%s: asked %v, error %v", text, asked, err)
		}
	}
}

func TestLongestNames(t *testing.T) {
	for _, tt := range []struct {
		bytes int
		kept  bool
	}{{scope.MaxName, true}, {scope.MaxName + 1, false}} {
		asked, ignored, err := scope.Parse([]string{"repository:" + strings.Repeat("a", tt.bytes) + ":pull"})
		if err != nil || (len(asked) == 1) != tt.kept || (len(ignored) == 1) == tt.kept {
			t.Errorf("name of %d bytes: asked %d, ignored %v, error %v", tt.bytes, len(asked), ignored, err)
		}
		for _, i := range ignored {
			if len(i.Text) > 256 {
				t.Errorf("%d bytes of an ignored scope are kept", len(i.Text))
			}
		}
	}
}

// docker_auth has no limits: it accepted 2,000 scopes and a scope of 1 MiB. Here there are limits.
// If a request exceeds a limit, the scopes within the limit are still parsed, because tools that
// mirror registries request all repositories at once.
func TestParseLimits(t *testing.T) {
	scopes := func(n int, format string) []string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return all
	}
	// Each scope has 219 bytes, so 74 scopes fit into MaxBytes.
	long := "repository:" + strings.Repeat("a", 200) + "%03d:pull"
	for _, tt := range []struct {
		what           string
		values         []string
		asked, ignored int
		left           string
	}{
		{"100 scopes", scopes(100, "repository:r%d:pull"), 100, 0, ""},
		{"101 scopes", scopes(101, "repository:r%d:pull"), 100, 0, "1 left out"},
		{"101 scopes in one value", []string{strings.Join(scopes(101, "repository:r%d:pull"), " ")}, 100, 0, "1 left out"},
		{"101 scopes, then one of them again", append(scopes(101, "repository:r%d:pull"), "repository:r0:push"), 100, 0, "1 left out"},
		{"800 scopes", scopes(800, "repository:r%d:pull"), 100, 0, "700 left out"},
		{"74 long scopes", scopes(74, long), 74, 0, ""},
		{"75 long scopes", scopes(75, long), 74, 0, "1 left out"},
		{"one scope 500 times", slices.Repeat([]string{"repository:a:pull"}, 500), 1, 0, ""},
		{"100 invalid texts", scopes(100, "x%d"), 0, 100, ""},
		{"101 invalid texts, then a scope", append(scopes(101, "x%d"), "repository:a:pull"), 1, 100, "1 left out"},
		{"64 KiB of spaces", []string{strings.Repeat(" ", 64<<10), "repository:a:pull"}, 1, 0, ""},
		{"a scope of 1 MiB", []string{"repository:" + strings.Repeat("a", 1<<20) + ":pull"}, 0, 0, "1 left out"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			asked, ignored, err := scope.Parse(tt.values)
			if len(asked) != tt.asked || len(ignored) != tt.ignored {
				t.Errorf("%d asked, %d ignored, want %d and %d", len(asked), len(ignored), tt.asked, tt.ignored)
			}
			switch {
			case tt.left == "" && err != nil:
				t.Errorf("error %v", err)
			case tt.left != "" && (!errors.Is(err, scope.ErrTooMuch) || !strings.Contains(err.Error(), tt.left)):
				t.Errorf("error %v, want one that says %q", err, tt.left)
			}
		})
	}
}

// For few scopes, Parse uses a linear search to merge them, and for many scopes a map. Both
// must have the same result.
func TestMergingManyScopes(t *testing.T) {
	for n := 1; n <= 20; n++ {
		var values []string
		var want []scope.Scope
		for i := range n {
			values = append(values, fmt.Sprintf("repository:r%d:pull", i))
			want = append(want, repository(fmt.Sprintf("r%d", i), scope.Pull|scope.Push))
		}
		for i := range n {
			values = append(values, fmt.Sprintf("repository:r%d:push", n-1-i))
		}
		asked, _, err := scope.Parse(values)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("%d scopes (-want +got):\n%s", n, diff)
		}
	}
}

// Check and Parse have the same grammar.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		scope scope.Scope
		says  string // "": nothing is wrong
	}{
		{repository("team/app", scope.Pull), ""},
		{repository("host:5000/team/app", 0), ""},
		{scope.Scope{Type: "repository", Class: "plugin", Name: "a"}, ""},
		{scope.Scope{Type: "registry", Name: "catalog", Actions: scope.All}, ""},
		{scope.Scope{Type: "tidewaiter", Name: "journal"}, ""},
		{repository("", scope.Pull), "the name is empty"},
		{repository("Team/app", scope.Pull), "upper-case"},
		{repository("team/../app", scope.Pull), "a part"},
		{repository("a/*", scope.Pull), "a character"},
		{repository(strings.Repeat("a", scope.MaxName+1), scope.Pull), "too long"},
		{repository("a:pull repository:b", scope.Pull), "the host before the name"},
		{scope.Scope{Name: "a"}, "the type"},
		{scope.Scope{Type: "repository(plugin)", Name: "a"}, "the type"},
		{scope.Scope{Type: "repository", Class: "a:b", Name: "a"}, "the class"},
	} {
		switch err := tt.scope.Check(); {
		case tt.says == "" && err != nil, tt.says != "" && err == nil:
			t.Errorf("%s: error %v", tt.scope, err)
		case err != nil && !strings.Contains(err.Error(), tt.says):
			t.Errorf("%s: error %q, want one with %q", tt.scope, err, tt.says)
		}
	}
}

func TestMatchService(t *testing.T) {
	for _, tt := range []struct {
		asked string
		names []string
		want  string
	}{
		{"a", []string{"b", "a"}, "a"},
		{"registry.example.com", []string{"Registry.example.com"}, "Registry.example.com"},
		{"a", []string{"A", "a"}, "a"},
		{"a", []string{"a", "A"}, "a"},
		{"aa", []string{"Aa", "aA"}, ""}, // two names differ from the service only in case
		{"aa", []string{"Aa", "aA", "aa"}, "aa"},
		{"c", []string{"a", "b"}, ""},
		{"a", nil, ""},
	} {
		if got, ok := scope.MatchService(tt.asked, slices.Values(tt.names)); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%q of %q: %q, %v", tt.asked, tt.names, got, ok)
		}
	}
}
