package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/policy/internal/match"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

// everyWay matches a pattern in three ways: by the index, by the matcher of limits and by the
// naive matcher. It reports an error if the results differ.
func everyWay(t interface{ Errorf(string, ...any) }, pattern, name string, who *policy.Principal) (matched, ok bool) {
	p, err := policy.Compile(policy.Source{Rules: []policy.Rule{{Name: "a", Subjects: []string{"anyone"}, Names: []string{pattern}, Actions: scope.Pull}}})
	matched, ok = policy.Match(pattern, name, who)
	if ok != (err == nil) {
		t.Errorf("whether %q is a pattern: %v, but Compile returns %v", pattern, ok, err)
	}
	if err != nil {
		return false, false
	}
	asked := scope.Scope{Type: "repository", Name: name, Actions: scope.Pull}
	indexed := p.Decide(&policy.Request{Principal: who, Scopes: []scope.Scope{asked}}).Results[0].Granted != 0
	naive := naiveName(pattern, name, who)
	if indexed != matched || naive != matched {
		t.Errorf("whether %q matches %q: limits %v, index %v, naive %v", pattern, name, matched, indexed, naive)
	}
	return matched, true
}

func TestPatterns(t *testing.T) {
	for _, tt := range []struct{ pattern, yes, no string }{
		{"team", "team", "team/a teams a/team"},
		{"team/app", "team/app", "team/app/x team/apps team x/team/app"},
		{"*", "team a", "team/a"},
		{"team/*", "team/a", "team team/a/b"},
		{"**", "a a/b a/b/c", ""},
		{"team/**", "team/a team/a/b team/a/b/c", "team teams/a"},
		{"**/app", "app a/app a/b/app app/app", "app/a apps a/apps"},
		{"a/**/b", "a/b a/x/b a/x/y/b a/b/b a/b/x/b", "a b a/x a/b/c x/a/b"},
		{"a/**/b/**", "a/b/c a/x/b/c a/b/b", "a/b a/x/b"},
		{"**/a/**/a/**", "a/a/x a/x/a/y x/a/a/a", "a/a a/x/y x/a/y"},
		{"*/**", "a/b a/b/c", "a"},
		{"**/*", "a a/b", ""},
		{"app-*", "app-a app-a-b", "app app/a xapp-a"},
		{"*-dev", "a-dev a-b-dev", "dev a-dev/x a-devs"},
		{"a*c", "abc ac abbc acc", "ab bc a/c abcd"},
		{"*b*", "b ab ba abc bb", "a ac a/b"},
		{"a*b*b", "abb axbxb abbb", "ab axb bb"},
		{"a*bc*d", "abcd axbcxd abcbcd", "acbd abd bcd"},
		{"host.example.com:5000/**", "host.example.com:5000/a", "host.example.com/a host.example.com:50000/a"},
		{"registry.example.com:*/a", "registry.example.com:1/a", "registry.example.com/a"},
	} {
		for _, name := range strings.Fields(tt.yes) {
			if matched, ok := everyWay(t, tt.pattern, name, &policy.Principal{}); !matched || !ok {
				t.Errorf("%q does not match %q", tt.pattern, name)
			}
		}
		for _, name := range strings.Fields(tt.no) {
			if matched, ok := everyWay(t, tt.pattern, name, &policy.Principal{}); matched || !ok {
				t.Errorf("%q matches %q", tt.pattern, name)
			}
		}
	}
}

func TestPlaceholders(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		who     *policy.Principal
		yes, no string
	}{
		{"${user}/**", &policy.Principal{Kind: policy.User, Name: "ann"}, "ann/a ann/ann/b", "ann a/ann bob/a"},
		{"**/${user}", &policy.Principal{Kind: policy.User, Name: "ann"}, "ann a/ann a/b/ann", "ann/a anna"},
		{"${user}", &policy.Principal{Kind: policy.Robot, Name: "ann"}, "", "ann"},
		{"${claims.c}/b", &policy.Principal{Kind: policy.User, Claims: map[string]any{"c": "a/b"}}, "a/b/b", "a/b a/b/c a/b/b/b b/b"},
		{"${claims.c}", &policy.Principal{Kind: policy.Workload, Claims: map[string]any{"c": "a/b"}}, "a/b", "a a/b/c a/bc xa/b"},
		{"**/${claims.c}/**", &policy.Principal{Kind: policy.User, Claims: map[string]any{"c": "a/b"}}, "a/b/c x/a/b/c a/b/a/b", "a/b x/a/b a/c/b"},
		{"${claims.c}/x", &policy.Principal{Kind: policy.User, Claims: map[string]any{"c": []any{"a", 3, "a/b", "A", nil, []any{"b"}}}}, "a/x a/b/x 3/x", "A/x b/x 3.0/x"},
		{"${claims.c}/${claims.c}", &policy.Principal{Kind: policy.User, Claims: map[string]any{"c": []string{"a", "a/a"}}}, "a/a a/a/a a/a/a/a", "a a/a/a/a/a"},
		// Anonymous principals have no claims.
		{"${claims.c}/x", &policy.Principal{Claims: map[string]any{"c": "a"}}, "", "a/x"},
		{"${claims.c}/x", &policy.Principal{Kind: policy.User}, "", "a/x x"},
	} {
		for _, name := range strings.Fields(tt.yes) {
			if matched, ok := everyWay(t, tt.pattern, name, tt.who); !matched || !ok {
				t.Errorf("%q does not match %q", tt.pattern, name)
			}
		}
		for _, name := range strings.Fields(tt.no) {
			if matched, ok := everyWay(t, tt.pattern, name, tt.who); matched || !ok {
				t.Errorf("%q matches %q", tt.pattern, name)
			}
		}
	}
}

// No pattern matches an invalid name, not even the pattern **.
func TestInvalidNamesMatchNothing(t *testing.T) {
	for _, name := range []string{"", "/", "a/", "/a", "a//b", strings.Repeat("a/", 63) + "a", strings.Repeat("a", 513)} {
		if matched, ok := policy.Match("**", name, &policy.Principal{}); matched || !ok {
			t.Errorf("** matches %q", name)
		}
		p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{{Name: "a", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull}}})
		if d := p.Decide(&policy.Request{Scopes: []scope.Scope{{Type: "repository", Name: name, Actions: scope.Pull}}}); d.Results[0].Granted != 0 {
			t.Errorf("%q is granted", name)
		}
	}
}

// FuzzMatch builds patterns and names from few words, because random text is rarely a valid
// pattern.
func FuzzMatch(f *testing.F) {
	patternWords := []string{"a", "b", "-", "*", "/", "/**/", "**/", "/**", "${user}", "${claims.c}", "/a", "a/", "/*", "c.d", "*b"}
	nameWords := []string{"a", "b", "-", "/", "/a", "/b", "a/", "/a/b", "c.d", "aab"}
	spell := func(words []string, letters []byte) string {
		var text strings.Builder
		for _, l := range letters {
			text.WriteString(words[int(l)%len(words)])
		}
		return text.String()
	}
	for _, seed := range []struct{ pattern, name, value string }{
		{"\x00\x05\x01", "\x00\x04\x05", "\x00"},         // a/**/b, a/a/b
		{"\x08\x07", "\x01\x04\x04", "\x01"},             // ${user}/**
		{"\x09\x05\x01", "\x00\x07\x05\x05", "\x00\x05"}, // ${claims.c}/**/b
		{"\x06\x00\x0e\x02\x03\x00", "\x04\x09\x02\x00", ""},
	} {
		f.Add([]byte(seed.pattern), []byte(seed.name), []byte(seed.value))
	}
	f.Fuzz(func(t *testing.T, p, n, v []byte) {
		if len(p) > 12 || len(n) > 12 || len(v) > 6 {
			return // the naive matcher would take too long
		}
		pattern, name, value := spell(patternWords, p), spell(nameWords, n), spell(nameWords, v)
		if asked, _, err := scope.Parse([]string{"repository:" + name + ":pull"}); err != nil || len(asked) != 1 {
			return
		}
		who := &policy.Principal{Kind: policy.User, Name: value, Claims: map[string]any{"c": value}}
		matched, ok := everyWay(t, pattern, name, who)
		if !ok || strings.Contains(pattern, "${") {
			return
		}
		// Package doublestar must have the same results. The only exception is the pattern a/**,
		// which also matches a in package doublestar.
		if strings.HasSuffix(pattern, "/**") {
			pattern += "/*"
		}
		if theirs, err := doublestar.Match(pattern, name); err != nil || theirs != matched {
			t.Errorf("%q matches %q: %v; doublestar: %v, %v", pattern, name, matched, theirs, err)
		}
	})
}

func FuzzCompile(f *testing.F) {
	f.Add("team/**", "user:ann", "writer", "repository", "team/app")
	f.Add("${usr}/a**b", "usr:ann", "writre", "registri", "a//b")
	f.Add("${claims.a/b}/x", "group:a b", "", "other", "x")
	f.Fuzz(func(t *testing.T, pattern, subject, role, kind, name string) {
		source := policy.Source{
			Roles: map[string]policy.Role{"reader": {Actions: scope.Pull}, "writer": {Actions: scope.Pull | scope.Push}},
			Rules: []policy.Rule{{Name: "a", Subjects: []string{subject}, Names: []string{pattern}, Role: role, Type: kind}},
		}
		p, err := policy.Compile(source)
		if err != nil {
			var problems policy.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		r := &policy.Request{Principal: &policy.Principal{Kind: policy.User, Name: name, Groups: []string{name}}, Scopes: []scope.Scope{{Type: kind, Name: name, Actions: 0xff}}}
		e := ask.Explain(p, r)
		if _ = e.String(); e.Results[0].Granted&^e.Results[0].Asked.Actions != 0 {
			t.Error("more is granted than was requested")
		}
	})
}

// ValidPart accepts the same parts as the parser of scopes.
func TestValidPartsAreThoseOfScopes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringOfN(rapid.SampledFrom([]rune("ab0.._-_A*/ä ${}")), 0, 8, -1).Draw(t, "part")
		if got, want := match.ValidPart(part), naiveLegal([]string{part}); got != want {
			t.Errorf("%q: %v, scope.Parse says %v", part, got, want)
		}
	})
}

// The test matches the worst patterns within the limits against the worst names. A backtracking
// matcher would not end before the timeout of the test.
func TestMatchingIsLinear(t *testing.T) {
	long := strings.Repeat("a/", 61) + "a"
	flat := strings.Repeat("a", 500)
	source := policy.Source{}
	names := []string{
		strings.Repeat("**/a/a/a/", 8) + "b",
		strings.Repeat("**/*/", 8) + "b",
		strings.Repeat("**/${claims.many}/", 4) + "b",
		strings.Repeat("${claims.many}/", 8) + "b",
		strings.Repeat("a*", 200) + "b",
		strings.Repeat("*a", 200) + "*b",
		"**/" + strings.Repeat("a/", 30) + "**/" + strings.Repeat("a/", 20) + "b",
		strings.Repeat("**/a*a*a/", 8) + "b",
	}
	for i, name := range names {
		source.Rules = append(source.Rules, policy.Rule{Name: fmt.Sprint(i), Subjects: []string{"anyone"}, Names: []string{name}, Actions: scope.Pull})
	}
	p := policygen.Compile(t, source)
	many := make([]string, 200)
	for i := range many {
		many[i] = strings.TrimSuffix(strings.Repeat("a/", i%5+1), "/")
	}
	who := &policy.Principal{Kind: policy.User, Name: "a", Claims: map[string]any{"many": many}}
	who.Limits = []policy.Limit{{Names: names, Actions: scope.Pull}}
	for _, name := range []string{long, flat, flat[:250] + "/" + flat[:250]} {
		r := &policy.Request{Principal: who, Scopes: []scope.Scope{{Type: "repository", Name: name, Actions: scope.Pull}}}
		if d := p.Decide(r); d.Results[0].Granted != 0 {
			t.Errorf("granted on %q", name)
		}
		ask.Explain(p, r)
	}
}
