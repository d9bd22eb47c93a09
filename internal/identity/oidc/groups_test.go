package oidc_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/oidc"
)

// Absence is not emptiness: where a token may leave groups out, a deny for one of them would be skipped. The
// holder of a token with a good signature is told why, and so is the log.
func TestATokenThatMayLeaveGroupsOutIsRefused(t *testing.T) {
	sources := claims{"src1": claims{"endpoint": "https://graph.example.com"}}
	for _, tt := range []struct {
		what     string
		template string
		claims   claims
		groups   string // "-": refused
		because  string
	}{
		{"none", "{groups}", claims{}, "", ""},
		{"null", "{groups}", claims{"groups": nil}, "", ""},
		{"an empty list", "{groups}", claims{"groups": []any{}}, "", ""},
		{"a list", "{groups}", claims{"groups": []any{"b", "a", "b"}}, "a b", ""},
		{"one text, as AD FS writes it", "{groups}", claims{"groups": "a"}, "a", ""},
		{"numbers", "team-{groups}", claims{"groups": []any{7, 8}}, "team-7 team-8", ""},
		{"nested", "{/realm_access/roles}", claims{"realm_access": claims{"roles": []any{"a"}}}, "a", ""},
		{"nested, and not there", "{/realm_access/roles}", claims{"realm_access": claims{}}, "", ""},

		{"elsewhere", "{groups}", claims{"_claim_names": claims{"groups": "src1"}, "_claim_sources": sources}, "-", "there are too many of them (_claim_names)"},
		{"elsewhere, beside some", "{groups}", claims{"groups": []any{"a"}, "_claim_names": claims{"groups": "src1"}}, "-", "_claim_names"},
		{"something else elsewhere", "{groups}", claims{"_claim_names": claims{"photo": "src1"}}, "", ""},
		{"elsewhere in no form that is known", "{groups}", claims{"_claim_names": "groups"}, "-", "no object"},
		{"Entra, little room", "{groups}", claims{"hasgroups": true}, "-", "too many of them (hasgroups)"},
		{"Entra, little room and an empty list", "{groups}", claims{"hasgroups": true, "groups": []any{}}, "-", "hasgroups"},
		{"Entra, as text", "{groups}", claims{"hasgroups": "true"}, "-", "hasgroups"},
		{"Entra, and they are there", "{groups}", claims{"hasgroups": true, "groups": []any{"a"}}, "a", ""},
		{"Entra, none", "{groups}", claims{"hasgroups": false}, "", ""},
		{"Entra, of which nothing is used", "x:{roles}", claims{"hasgroups": true, "roles": []any{"a"}}, "x:a", ""},
		{"Entra, implicit flow", "{groups}", claims{"groups:src1": "https://graph.example.com"}, "-", "groups:src1"},
		{"GitLab, above 200", "gitlab:{groups_direct}", claims{}, "-", "groups_direct"},
		{"GitLab, none", "gitlab:{groups_direct}", claims{"groups_direct": []any{}}, "", ""},

		{"an object", "{groups}", claims{"groups": claims{"admin": claims{"1": "acme"}}}, "-", "the claim groups is an object"},
		{"a list of objects", "{groups}", claims{"groups": []any{"a", claims{"name": "b"}}}, "-", "other things than texts"},
		{"a list of lists", "{groups}", claims{"groups": []any{[]any{"a"}}}, "-", "other things than texts"},
		{"a list with nothing in it", "{groups}", claims{"groups": []any{"a", nil}}, "-", "other things than texts"},
		{"a text where an object should be", "{/realm_access/roles}", claims{"realm_access": "roles"}, "-", "realm_access is no object"},
		{"a list where an object should be", "{/realm_access/roles}", claims{"realm_access": []any{"roles"}}, "-", "realm_access is no object"},
		{"a name that is too long", "{groups}", claims{"groups": []any{"a", strings.Repeat("x", identity.MaxName+1)}}, "-", "can be no name"},
		{"a name with a line end", "{groups}", claims{"groups": []any{"a\nb"}}, "-", "can be no name"},
		{"a name that only conditions can read", "{groups}", claims{"groups": []any{"a\u00a0b"}}, "a\u00a0b", ""},
		{"a value with the separator", "{groups}/{sub}", claims{"groups": []any{"a", "b/c"}}, "-", "with which the template goes on"},
		{"two lists", "{groups}/{roles}", claims{"groups": []any{"a"}, "roles": []any{"b"}}, "-", "several claims"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			i := newIssuer(t)
			var log strings.Builder
			p := i.provider(func(o *oidc.Options) {
				o.Groups = []string{tt.template}
				o.Log = slog.New(slog.NewTextHandler(&log, nil))
			})
			v, err := show(t, p, i.token(tt.claims))
			if tt.groups == "-" {
				incomplete, ok := errors.AsType[*identity.IncompleteError](err)
				if !ok || !errors.Is(err, identity.ErrRejected) || !strings.Contains(incomplete.Reason, tt.because) {
					t.Fatalf("%v %v, want %s", v.Principal, err, tt.because)
				}
				if !strings.Contains(log.String(), "not all groups are known") {
					t.Errorf("the log: %s", log.String())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.groups, strings.Join(v.Principal.Groups, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A claim that cannot be kept as it is must not be left out: who names a branch could else skip a deny that asks has(claims.ref).
func TestATokenWhoseClaimsCannotBeKeptIsRefused(t *testing.T) {
	for _, tt := range []struct {
		ref  any
		kept bool
	}{
		{"main", true}, {nil, true}, {[]string{"a", "b"}, true}, {7, true},
		{"main\n", false}, {"a\ufffdb", false}, {[]string{"a", "b\x00"}, false}, {claims{"a\n": 1}, false}, {json.Number("1e999"), false},
	} {
		i := newIssuer(t)
		p := i.provider(func(o *oidc.Options) { o.Claims = []string{"ref"} })
		v, err := show(t, p, i.token(claims{"ref": tt.ref}))
		incomplete, ok := errors.AsType[*identity.IncompleteError](err)
		if tt.kept && err != nil || !tt.kept && (!ok || !strings.Contains(incomplete.Error(), "not all claims are known: ref")) {
			t.Errorf("%#v: %+v %v", tt.ref, v.Principal, err)
		}
	}
}

// What is true of groups is true of a claim that is kept: a deny that asks has(claims.groups) would be skipped.
func TestATokenThatMayLeaveClaimsOutIsRefused(t *testing.T) {
	for _, tt := range []struct {
		claims  claims
		because string // "": it holds
	}{
		{claims{"groups": []any{"a"}}, ""},
		{claims{}, ""},
		{claims{"hasgroups": true}, "the token leaves out groups, because there are too many of them (hasgroups)"},
		{claims{"hasgroups": true, "groups": []any{"a"}}, ""},
		{claims{"groups:src1": "https://graph.example.com"}, "groups:src1"},
		{claims{"_claim_names": claims{"groups": "src1"}}, "_claim_names"},
		{claims{"_claim_names": claims{"photo": "src1"}}, ""},
	} {
		i := newIssuer(t)
		p := i.provider(func(o *oidc.Options) { o.Claims = []string{"groups"} })
		v, err := show(t, p, i.token(tt.claims))
		incomplete, ok := errors.AsType[*identity.IncompleteError](err)
		if tt.because == "" && err != nil || tt.because != "" && (!ok || !incomplete.Claims || !strings.Contains(incomplete.Reason, tt.because)) {
			t.Errorf("%v: %+v %v", tt.claims, v.Principal, err)
		}
	}
}

// Only the holder of a token with a good signature is told.
func TestAForgedTokenIsToldNothing(t *testing.T) {
	i, other := newIssuer(t), newIssuer(t)
	p := i.provider(func(o *oidc.Options) { o.Groups = []string{"{groups}"} })
	_, err := show(t, p, other.token(claims{"hasgroups": true, "iss": i.url}))
	if _, told := errors.AsType[*identity.IncompleteError](err); err == nil || told {
		t.Errorf("%v", err)
	}
}
