package policy_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/ask"
	"github.com/tidewaiter/tidewaiter/policy/internal/policygen"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestNumbersHaveOneCanonicalText(t *testing.T) {
	for canonical, texts := range map[string][]string{
		"0":    {"0", "-0", "0.0", "0e5", "-0.000"},
		"3":    {"3", "3.0", "3e0", "30e-1", "0.3e1", "3.000e+0"},
		"-3":   {"-3", "-3.0", "-30e-1"},
		"1000": {"1000", "1e3", "1E+3", "1000.0"},
		"0.5":  {"0.5", "5e-1", "0.50"},
		// No float64 has this value.
		"9007199254740993":               {"9007199254740993", "9007199254740993.0"},
		"12345678901234567890":           {"12345678901234567890"},
		"123456789012345678901234567890": {"123456789012345678901234567890", "12345678901234567890123456789e1"},
		"1e-7":                           {"0.0000001", "1e-7"},
		"1e+100":                         {"1e100", "10e99"},
		"0.1":                            {"0.1", "0.1000000000000000055511151231257827"},
		"":                               {"", "-", "03", "3.", ".5", "1e", "1e+", "1e++1", "0x10", "NaN", "Infinity", "1e999", "1e-999", "1_000", " 3", "1e99999999999999999999"},
	} {
		for _, text := range texts {
			got, ok := policy.CanonicalNumber(text)
			if string(got) != canonical || ok != (canonical != "") {
				t.Errorf("%q: %q, %t, want %q", text, got, ok, canonical)
			}
		}
	}
}

// Canonical text stays the same when it is converted again. The canonical text of a whole
// number is the number itself.
func TestPropertyCanonicalNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,2})?`).Draw(t, "text")
		got, ok := policy.CanonicalNumber(text)
		if !ok {
			t.Fatalf("%s is not accepted as a number", text)
		}
		if again, ok := policy.CanonicalNumber(string(got)); again != got || !ok {
			t.Errorf("%s becomes %s, and then %s", text, got, again)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: %s is not JSON", text, got)
		}
		value, _ := new(big.Rat).SetString(text)
		if value.IsInt() && len(value.Num().String()) <= 64 && string(got) != value.Num().String() {
			t.Errorf("%s: %s, want %s", text, got, value.Num())
		}
	})
}

func TestClaimsKeepTheirTypes(t *testing.T) {
	got, bad := policy.CanonicalClaims(map[string]any{
		"text": "3", "number": 3.0, "json": json.Number("3.0"), "int": 3, "small": uint8(3), "true": true, "null": nil,
		"texts": []string{"a"}, "list": []any{1, "1", true, nil, []any{2.5}}, "object": map[string]any{"n": int64(1)},
	})
	want := map[string]any{
		"text": "3", "number": json.Number("3"), "json": json.Number("3"), "int": json.Number("3"), "small": json.Number("3"), "true": true,
		"texts": []any{"a"}, "list": []any{json.Number("1"), "1", true, nil, []any{json.Number("2.5")}}, "object": map[string]any{"n": json.Number("1")},
	}
	if diff := cmp.Diff(want, got); diff != "" || bad != "" {
		t.Errorf("%q (-want +got):\n%s", bad, diff)
	}
	for name, value := range map[string]any{"channel": make(chan int), "number": json.Number("x"), "list": []any{json.Number("1e999")}, "deep": deep(100)} {
		if _, bad := policy.CanonicalClaims(map[string]any{"good": 1, name: value}); bad != name {
			t.Errorf("%s: %q has no canonical form", name, bad)
		}
	}
}

func deep(levels int) any {
	var v any = "x"
	for range levels {
		v = []any{v}
	}
	return v
}

func TestNumbersInPlaceholders(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		{Name: "all", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull},
		{Name: "level", Deny: true, Subjects: []string{"signed-in"}, Names: []string{"e/${claims.level}"}, Actions: scope.Pull},
	}})
	for _, tt := range []struct {
		level  any
		denied string
	}{
		{json.Number("3"), "3"},
		{json.Number("3.0"), "3"},
		{3, "3"},
		{3.0, "3"},
		{"3", "3"},
		{true, "true"},
		{false, "false"},
		{0.5, "0.5"},
		{json.Number("12345678901234567890"), "12345678901234567890"},
		{[]any{json.Number("1"), json.Number("3")}, "3 1"},
		{[]any{true, "x"}, "x true"},
		{json.Number("-3"), ""}, // no repository has such a part
		{nil, ""},
		{map[string]any{"a": "3"}, ""},
		{[]any{[]any{"3"}}, ""},
	} {
		who := &policy.Principal{Kind: policy.Workload, Name: "ci", Claims: map[string]any{"level": tt.level}}
		for _, part := range []string{"1", "3", "3.0", "true", "false", "x", "0.5", "12345678901234567890", "-3"} {
			r := &policy.Request{Principal: who, Registry: "r", Scopes: []scope.Scope{{Type: "repository", Name: "e/" + part, Actions: scope.Pull}}}
			granted := p.Decide(r).Results[0].Granted != 0
			if denied := strings.Contains(" "+tt.denied+" ", " "+part+" "); granted == denied {
				t.Errorf("with the level %#v, whether e/%s is granted: %t", tt.level, part, granted)
			}
		}
	}
}

func TestUnknownRegistry(t *testing.T) {
	p := policygen.Compile(t, policy.Source{Rules: []policy.Rule{
		{Name: "all", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull},
		{Name: "here", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Push, Registries: []string{"r"}},
		{Name: "closed", Deny: true, Subjects: []string{"anyone"}, Names: []string{"prod/**"}, Actions: scope.Pull, Registries: []string{"r", "other"}},
	}})
	for _, tt := range []struct {
		registry, name string
		granted        scope.Actions
	}{
		{"r", "a", scope.Pull | scope.Push},
		{"r", "prod/a", scope.Push},
		{"third", "prod/a", scope.Pull},
		{"", "a", scope.Pull},
		{"", "prod/a", 0},
	} {
		asked := scope.Scope{Type: "repository", Name: tt.name, Actions: scope.Pull | scope.Push}
		r := &policy.Request{Principal: &policy.Principal{}, Registry: tt.registry, Scopes: []scope.Scope{asked}}
		if got := p.Decide(r).Results[0].Granted; got != tt.granted {
			t.Errorf("%q, %s: %s, want %s", tt.registry, tt.name, got, tt.granted)
		}
		rights := ask.WhatCan(p, r.Principal, "")
		if got := rights.Allows(r, asked); got != tt.granted {
			t.Errorf("%q, %s: WhatCan allows %s, want %s", tt.registry, tt.name, got, tt.granted)
		}
	}
	asked := scope.Scope{Type: "repository", Name: "prod/a", Actions: scope.Pull}
	const want = `anonymous asks a registry that is not known
and is anyone and anonymous

repository:prod/a:pull
  pull: denied by "closed"
    it denies at some registries, and the request does not name its registry
`
	if diff := cmp.Diff(want, ask.Explain(p, &policy.Request{Scopes: []scope.Scope{asked}}).String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
