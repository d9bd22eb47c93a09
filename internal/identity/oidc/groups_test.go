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
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
)

// A missing list of groups is not an empty list. If groups are possibly missing in a token, the
// token is refused, because otherwise a deny rule for a missing group would not apply. If the
// signature is valid, the client gets the reason. The log has the reason, too.
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
		{"nested, and absent", "{/realm_access/roles}", claims{"realm_access": claims{}}, "", ""},

		{"elsewhere", "{groups}", claims{"_claim_names": claims{"groups": "src1"}, "_claim_sources": sources}, "-", "there are too many of them (_claim_names)"},
		{"_claim_names, in addition to some groups", "{groups}", claims{"groups": []any{"a"}, "_claim_names": claims{"groups": "src1"}}, "-", "_claim_names"},
		{"_claim_names for another claim", "{groups}", claims{"_claim_names": claims{"photo": "src1"}}, "", ""},
		{"_claim_names in an unknown form", "{groups}", claims{"_claim_names": "groups"}, "-", "not an object"},
		{"Entra, hasgroups", "{groups}", claims{"hasgroups": true}, "-", "too many of them (hasgroups)"},
		{"Entra, hasgroups and an empty list", "{groups}", claims{"hasgroups": true, "groups": []any{}}, "-", "hasgroups"},
		{"Entra, hasgroups as text", "{groups}", claims{"hasgroups": "true"}, "-", "hasgroups"},
		{"Entra, hasgroups and the groups", "{groups}", claims{"hasgroups": true, "groups": []any{"a"}}, "a", ""},
		{"Entra, none", "{groups}", claims{"hasgroups": false}, "", ""},
		{"Entra, hasgroups, without a group template", "x:{roles}", claims{"hasgroups": true, "roles": []any{"a"}}, "x:a", ""},
		{"Entra, implicit flow", "{groups}", claims{"groups:src1": "https://graph.example.com"}, "-", "groups:src1"},
		{"GitLab, above 200", "gitlab:{groups_direct}", claims{}, "-", "groups_direct"},
		{"GitLab, none", "gitlab:{groups_direct}", claims{"groups_direct": []any{}}, "", ""},

		{"roles as an object, as Zitadel writes them", "z:{urn:zitadel:iam:org:project:roles}",
			claims{"urn:zitadel:iam:org:project:roles": claims{"reader": claims{"1": "acme.example.com"}, "admin": claims{"1": "acme.example.com"}}}, "z:admin z:reader", ""},
		{"roles that are true", "{groups}", claims{"groups": claims{"admin": true}}, "admin", ""},
		{"no roles", "{groups}", claims{"groups": claims{}}, "", ""},
		{"roles elsewhere", "{/realm/roles}", claims{"realm": claims{"roles": claims{"a": claims{}}}}, "a", ""},
		{"a role that is false", "{groups}", claims{"groups": claims{"admin": true, "root": false}}, "-", "must be an object or true"},
		{"an object of lists, as around Keycloak's roles", "{realm_access}", claims{"realm_access": claims{"roles": []any{"a"}}}, "-", "must be an object or true"},
		{"an object of texts", "{groups}", claims{"groups": claims{"admin": "yes"}}, "-", "must be an object or true"},
		{"an object of null values", "{groups}", claims{"groups": claims{"admin": json.RawMessage("null")}}, "-", "must be an object or true"},
		{"a role that is too long", "{groups}", claims{"groups": claims{strings.Repeat("x", username.MaxLength+1): true}}, "-", "it has 257 bytes, and the limit is 256"},
		{"a role with a line end", "{groups}", claims{"groups": claims{"a\nb": true}}, "-", "cannot be used"},
		{"a role with the separator", "{groups}/{sub}", claims{"groups": claims{"a/b": true}}, "-", "which separates it from the rest"},
		{"roles and a list", "{groups}/{roles}", claims{"groups": claims{"a": true}, "roles": []any{"b"}}, "-", "several claims"},
		{"a list of objects", "{groups}", claims{"groups": []any{"a", claims{"name": "b"}}}, "-", "elements that are not strings"},
		{"a list of lists", "{groups}", claims{"groups": []any{[]any{"a"}}}, "-", "elements that are not strings"},
		{"a list with null", "{groups}", claims{"groups": []any{"a", nil}}, "-", "elements that are not strings"},
		{"a text instead of an object", "{/realm_access/roles}", claims{"realm_access": "roles"}, "-", "realm_access is not an object"},
		{"a list instead of an object", "{/realm_access/roles}", claims{"realm_access": []any{"roles"}}, "-", "realm_access is not an object"},
		{"a name that is too long", "{groups}", claims{"groups": []any{"a", strings.Repeat("x", username.MaxLength+1)}}, "-", "cannot be used"},
		{"a name with a line end", "{groups}", claims{"groups": []any{"a\nb"}}, "-", "cannot be used"},
		{"a name that only conditions can read", "{groups}", claims{"groups": []any{"a\u00a0b"}}, "a\u00a0b", ""},
		{"a value with the separator", "{groups}/{sub}", claims{"groups": []any{"a", "b/c"}}, "-", "which separates it from the rest"},
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

// A claim that cannot be kept must not be left out silently. Otherwise a user could avoid a deny
// rule that tests has(claims.ref), by the choice of a branch name.
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

// A nested claim is not absent if its parent is present but not an object.
func TestAClaimWithAWrongParentIsNotAbsent(t *testing.T) {
	for _, tt := range []struct {
		deep any
		why  string // "": accepted
	}{
		{claims{"er": claims{"flag": true}}, ""},
		{claims{"er": claims{}}, ""},
		{claims{}, ""},
		{nil, ""},
		{json.RawMessage("null"), ""},
		{claims{"er": json.RawMessage("null")}, ""},
		{"text", "the claim /deep/er/flag cannot be read: deep is not an object"},
		{7, "deep is not an object"}, {true, "deep is not an object"}, {[]any{claims{"er": claims{}}}, "deep is not an object"},
		{claims{"er": "text"}, "deep/er is not an object"}, {claims{"er": []any{}}, "deep/er is not an object"},
	} {
		i := newIssuer(t)
		for what, change := range map[string]func(*oidc.Options){
			"kept":    func(o *oidc.Options) { o.Claims = []string{"/deep/er/flag"} },
			"a group": func(o *oidc.Options) { o.Groups = []string{"{/deep/er/flag}"} },
		} {
			v, err := show(t, i.provider(change), i.token(claims{"deep": tt.deep}))
			incomplete, ok := errors.AsType[*identity.IncompleteError](err)
			if tt.why == "" && err != nil || tt.why != "" && (!ok || !strings.Contains(incomplete.Reason, tt.why)) {
				t.Errorf("%s of %v: %+v %v", what, tt.deep, v.Principal, err)
			}
		}
		for what, change := range map[string]func(*oidc.Options){
			"the name":    func(o *oidc.Options) { o.Principal = "{/deep/er/flag}" },
			"a condition": func(o *oidc.Options) { o.Require = map[string][]string{"/deep/er/flag": {"*"}} },
		} {
			if _, err := show(t, i.provider(change), i.token(claims{"deep": tt.deep})); tt.why != "" && !errors.Is(err, identity.ErrRejected) {
				t.Errorf("%s of %v: %v", what, tt.deep, err)
			}
		}
	}
}

// The issuer's number distinguishes a principal from a later principal with the same name. An
// unreadable number is an error.
func TestAnUnreadableNumberIsNotLeftOutOfTheID(t *testing.T) {
	i := newIssuer(t)
	p := i.provider(func(o *oidc.Options) { o.Preset = oidc.Kubernetes })
	for _, tt := range []struct {
		kubernetes any
		ok         bool
	}{
		{claims{"serviceaccount": claims{"uid": "1"}}, true}, {claims{}, true}, {nil, true},
		{"text", false}, {claims{"serviceaccount": "x"}, false}, {claims{"serviceaccount": claims{"uid": claims{}}}, false}, {claims{"serviceaccount": claims{"uid": "a\nb"}}, false},
	} {
		if v, err := show(t, p, i.token(claims{"kubernetes.io": tt.kubernetes})); (err == nil) != tt.ok {
			t.Errorf("%v: %+v %v", tt.kubernetes, v.Principal, err)
		}
	}
}

// If claims are possibly missing in a token, the token is refused, too. Otherwise a deny rule that
// tests has(claims.groups) would not apply.
func TestATokenThatMayLeaveClaimsOutIsRefused(t *testing.T) {
	for _, tt := range []struct {
		claims  claims
		because string // "": accepted
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

// The client gets the reason only if the token has a valid signature.
func TestAForgedTokenIsNotExplained(t *testing.T) {
	i, other := newIssuer(t), newIssuer(t)
	p := i.provider(func(o *oidc.Options) { o.Groups = []string{"{groups}"} })
	_, err := show(t, p, other.token(claims{"hasgroups": true, "iss": i.url}))
	if _, told := errors.AsType[*identity.IncompleteError](err); err == nil || told {
		t.Errorf("%v", err)
	}
}
