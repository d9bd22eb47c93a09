package when_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

func TestNamesOfADirectoryInConditions(t *testing.T) {
	for _, tt := range []struct {
		condition, group string
		holds            bool
	}{
		{`"CN=Ops,DC=example,DC=com" in groups`, "cn=ops,dc=example,dc=com", true},
		{`"cn=ops,dc=example,dc=com" in groups`, "CN=Ops, DC=example, DC=com", true},
		{`r"CN=a\2Cb,DC=com" in groups`, `cn=a\,b,dc=com`, true},
		{`!("CN=Ops,DC=com" in groups)`, "cn=ops,dc=com", false},
		{`"CN=Ops,DC=com" in groups`, "cn=ops,dc=org", false},
		{`groups.exists(g, g == "cn=ops,dc=com")`, "CN=Ops,DC=com", true},
		{`groups.exists(g, g.endsWith(",dc=com"))`, "CN=Ops,DC=com", true},
		{`groups == ["x", "cn=ops,dc=com"]`, "CN=Ops,DC=com", true},
		{`size(groups) == 2 && groups[1] == "ops"`, "ops", true},
		{`"Ops" in groups`, "ops", false},
		{`claims.dn in groups`, "cn=ops,dc=com", true},
		{`!(claims.dn in groups)`, "cn=ops,dc=com", false},
		{`dyn("CN=Ops,DC=com") in groups`, "CN=Ops,DC=com", true},
		{`"CN=Ops,DC=com" in dyn(groups)`, "cn=ops,dc=com", true},
		{`claims.dns.exists(d, d in groups)`, "cn=ops,dc=com", true},
		{`claims.dn in groups`, "cn=ops,dc=org", false},
		{`"Team=Ops,Env=Prod" in groups`, "team=ops,env=prod", false},
		{`groups.exists(g, g == "CN=Ops,DC=com")`, "cn=ops, dc=com", true},
		{`groups.all(g, "CN=Ops,DC=com" != g)`, "cn=ops, dc=com", false},
		{`groups.exists(g, g in ["ops", "CN=Ops,DC=com"])`, "cn=ops, dc=com", true},
		{`size(groups.filter(g, g == "CN=Ops,DC=com")) > 0`, "cn=ops, dc=com", true},
		{`"CN=Ops,DC=com" in groups.filter(g, g != "x")`, "cn=ops, dc=com", true},
		{`"CN=Ops,DC=com" in groups + ["y"]`, "cn=ops, dc=com", true},
		{`"CN=Ops,DC=com" in ["CN=ops, DC=com"] + groups`, "y", true},
		{`groups == ["x", "CN=Ops,DC=com"]`, "cn=ops, dc=com", true},
		{`groups[1] != "CN=Ops,DC=com"`, "cn=ops, dc=com", false},
		{`groups.filter(g, true).exists(h, h == "CN=Ops,DC=com")`, "cn=ops, dc=com", true},
		{`groups.exists(g, g == claims.dn)`, "cn=ops,dc=com", true},
		{`groups.exists(g, claims.dns.exists(d, d == g))`, "cn=ops,dc=com", true},
		{`groups.exists(g, g in claims.dns)`, "cn=ops,dc=com", true},
		{`(groups + claims.dns).exists(g, g == "cn=OPS,dc=com")`, "y", true},
		{`(groups + claims.dns)[3] == "cn=OPS,dc=com"`, "y", true},
		{`(groups + claims.dns).all(g, g != "cn=OPS,dc=com")`, "y", false},
		{`(user == "ann" ? groups : []).exists(g, g == "CN=Ops,DC=com")`, "cn=ops,dc=com", true},
		{`[groups[1]].exists(g, g == "CN=Ops,DC=com")`, "cn=ops,dc=com", true},
		{`groups.exists(g, g.startsWith("cn=ops,"))`, "CN=Ops,DC=com", true},
		{`groups.exists(g, g.matches("(?i)^CN=O.*,DC=com$"))`, "CN=Ops,DC=com", true},
	} {
		c, err := when.NewCompiler().Compile(tt.condition)
		if err != nil {
			t.Fatalf("%s: %v", tt.condition, err)
		}
		groups := []string{"x", tt.group}
		r := &policy.Request{Principal: &policy.Principal{Kind: policy.User, Name: "ann", Groups: groups, Claims: map[string]any{
			"dn": "CN=Ops, DC=com", "dns": []any{"x=y", "CN=Ops,DC=com"},
		}}}
		if holds, err := c.Holds(r); err != nil || holds != tt.holds {
			t.Errorf("%s of %s: %v, %v", tt.condition, tt.group, holds, err)
		}
		if groups[1] != tt.group {
			t.Errorf("the principal was changed: %s", groups[1])
		}
	}
}

// The names of groups have canonical spelling, so they never contain a part of a distinguished
// name in any other spelling. A deny rule that searches for such a part would never match, so
// Compile refuses the condition.
func TestUnusualSpellingsOfPartsOfNames(t *testing.T) {
	for _, tt := range []struct {
		condition, suggestion string // "": the condition is valid
		column                int
	}{
		{`groups.exists(g, g.startsWith("CN=Team-"))`, `"cn=team-"`, 31},
		{`groups.exists(g, g.endsWith(",OU=Groups,DC=com"))`, `",ou=groups,dc=com"`, 29},
		{`groups.all(g, !g.contains("ou=Admins"))`, `"ou=admins"`, 27},
		{`groups.exists(g, g.contains(", ou=admins"))`, `",ou=admins"`, 29},
		{`groups.exists(g, "CN=Ops,DC=com".contains(g))`, `"cn=ops,dc=com"`, 18},
		{`groups.filter(g, true).exists(h, h.startsWith("CN="))`, `"cn="`, 47},
		{`groups[0].startsWith("CN=")`, `"cn="`, 22},
		{`groups.exists(g, g.matches("^CN=(a|b),OU=x"))`, `"(?i)^CN=(a|b),OU=x"`, 28},
		{`groups.exists(g, matches(g, "^CN=a"))`, `"(?i)^CN=a"`, 29},
		{`groups.exists(g, g.startsWith("cn=team-"))`, "", 0},
		{`groups.exists(g, g.startsWith("Team-"))`, "", 0},
		{`groups.exists(g, g.contains("Team=Ops"))`, "", 0},
		{`groups.exists(g, g.matches("(?i)^CN=Team-"))`, "", 0},
		{`groups.exists(g, g.matches("^cn=team-[A-Z]"))`, "", 0},
		{`claims.dn.startsWith("CN=")`, "", 0},
		{`user.startsWith("CN=")`, "", 0},
		{`claims.dns.exists(g, g.startsWith("CN="))`, "", 0},
		{`claims.dns.exists(user, user.startsWith("CN="))`, "", 0},
		{`groups.exists(g, g == "x") && claims.dns.exists(g, g.startsWith("CN="))`, "", 0},
	} {
		_, err := when.NewCompiler().Compile(tt.condition)
		mistakes, _ := errors.AsType[when.Errors](err)
		switch {
		case tt.suggestion == "" && err == nil:
		case len(mistakes) != 1 || mistakes[0].Column != tt.column || mistakes[0].Suggestion != tt.suggestion:
			t.Errorf("%s: %v, want column %d, %s", tt.condition, err, tt.column, tt.suggestion)
		}
	}
	_, err := when.NewCompiler().Compile(`groups.exists(g, g.matches("^CN=a, OU=b"))`)
	if mistakes, _ := errors.AsType[when.Errors](err); len(mistakes) != 1 || mistakes[0].Suggestion != "" {
		t.Errorf("a pattern that lower case does not correct: %v", err)
	}
}

// A long name in a claim must be read to convert it to canonical spelling. This reading adds to
// the cost, even if the name is then compared with the short name of a group.
func TestReadingNamesCounts(t *testing.T) {
	long := "CN=" + strings.Repeat("A", 8000) + ",DC=com"
	r := &policy.Request{Principal: &policy.Principal{Kind: policy.User, Name: "ann", Groups: []string{"x"}, Claims: map[string]any{"name": long, "names": []any{long}}}}
	for _, condition := range []string{
		"groups.exists(g, g == claims.name)", "groups.exists(g, claims.name != g && false)", "groups.exists(g, g in claims.names)", "claims.name in groups",
		"user == claims.name", "claims.names.exists(n, n == user)",
	} {
		c, err := when.NewCompiler().Compile(condition)
		if err != nil {
			t.Fatal(err)
		}
		if holds, _, err := when.Costs(c, r); err != nil || holds < 800 {
			t.Errorf("%s takes %d steps, %v", condition, holds, err)
		}
	}
}

// The keys of a map are not converted to canonical spelling. So Compile refuses a condition that
// searches for a group among the keys of a map. It also refuses a condition that searches for a
// user, if one of the keys is a distinguished name.
func TestNamesAreNotSearchedInMaps(t *testing.T) {
	for condition, column := range map[string]int{
		`groups.exists(g, g in {"CN=Ops,DC=com": true})`: 24, `groups.exists(g, g in {"cn=ops,dc=com": true})`: 24,
		`user in {"x": 1, "CN=Ann,DC=com": 2}`: 18, `user in {"ann": true}`: 0, `claims.dn in {"CN=Ops,DC=com": true}`: 0,
	} {
		_, err := when.NewCompiler().Compile(condition)
		mistakes, _ := errors.AsType[when.Errors](err)
		if (column == 0) != (err == nil) || column > 0 && (len(mistakes) != 1 || mistakes[0].Column != column || !strings.Contains(mistakes[0].Text, "write a list")) {
			t.Errorf("%s: %v, want column %d", condition, err, column)
		}
	}
}

// If a user's name is a distinguished name, rules and conditions may use any spelling of it.
func TestUsersWithDistinguishedNames(t *testing.T) {
	for name, is := range map[string]bool{
		"CN=Ann,OU=People,DC=com": true, "cn=ann, ou=people, dc=com": true, `2.5.4.3=\41nn,ou=people,dc=com`: true,
		"CN=Ann,OU=Other,DC=com": false, "ann": false,
	} {
		who := &policy.Principal{Kind: policy.User, Name: "CN=Ann,OU=People,DC=com", Claims: map[string]any{"manager": name, "list": []any{"x", name}}}
		p, err := policy.Compile(policy.Source{Rules: []policy.Rule{{
			Name: "ann", Subjects: []string{"user:" + name}, Names: []string{"a"}, Actions: scope.Pull,
		}}})
		if err != nil {
			t.Fatal(err)
		}
		asked := []scope.Scope{{Type: scope.TypeRepository, Name: "a", Actions: scope.Pull}}
		if d := p.Decide(&policy.Request{Principal: who, Scopes: asked}); (d.Results[0].Granted == scope.Pull) != is {
			t.Errorf("whether %s is a subject of the user: %v", name, !is)
		}
		for _, condition := range []string{
			fmt.Sprintf("user == %q", name), fmt.Sprintf("!(%q != user)", name), fmt.Sprintf("user in [%q, %q]", "x", name),
			"user == claims.manager", "user in claims.list", fmt.Sprintf("dyn(user) == %q", name),
		} {
			c, err := when.NewCompiler().Compile(condition)
			if err != nil {
				t.Fatal(err)
			}
			if holds, err := c.Holds(&policy.Request{Principal: who}); err != nil || holds != is {
				t.Errorf("%s: %v %v, want %v", condition, holds, err, is)
			}
		}
	}
}

// The distinguished names of an indexed principal's groups are converted to canonical spelling
// only once, and not for each condition.
func TestGroupsAreReadOnce(t *testing.T) {
	var groups []string
	for i := range 1000 {
		groups = append(groups, fmt.Sprintf("CN=Grüppe %d,OU=Grüppen,DC=example,DC=com", i))
	}
	c, err := when.NewCompiler().Compile(`size(groups) == 1000 && groups[7] == "cn=grüppe 7,ou=grüppen,dc=example,dc=com"`)
	if err != nil {
		t.Fatal(err)
	}
	r := &policy.Request{Principal: (&policy.Principal{Kind: policy.User, Name: "ann", Groups: groups}).Indexed()}
	if holds, err := c.Holds(r); err != nil || !holds {
		t.Errorf("%v %v", holds, err)
	}
	if n := testing.AllocsPerRun(5, func() { _, _ = c.Holds(r) }); n > 100 {
		t.Errorf("%v allocations", n)
	}
}
