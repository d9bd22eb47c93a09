package when_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
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

// A distinguished name in another spelling than that of groups equals none of them: a deny with it would be skipped.
func TestNamesOfADirectoryThatNoGroupHas(t *testing.T) {
	for _, tt := range []struct {
		condition string
		column    int // 0: there is no mistake
	}{
		{`groups.exists(g, g == "CN=Ops,DC=com")`, 23},
		{`groups.all(g, "CN=Ops,DC=com" != g)`, 15},
		{`groups.exists(g, g in ["ops", "CN=Ops,DC=com"])`, 31},
		{`groups.exists(g, g in {"CN=Ops,DC=com": true})`, 24},
		{`size(groups.filter(g, g == "CN=Ops,DC=com")) > 0`, 28},
		{`"CN=Ops,DC=com" in groups.filter(g, g != "x")`, 1},
		{`"CN=Ops,DC=com" in groups + ["x"]`, 1},
		{`groups == ["CN=Ops,DC=com"]`, 12},
		{`groups[0] != "CN=Ops,DC=com"`, 14},
		{`groups.filter(g, true).exists(h, h == "CN=Ops,DC=com")`, 39},
		{`groups.exists(g, g == "cn=ops,dc=com")`, 0},
		{`groups.exists(g, g == "Ops")`, 0},
		{`"CN=Ops,DC=com" in groups`, 0},
		{`"CN=Ops,DC=com" in dyn(groups)`, 0},
		{`claims.dn == "CN=Ops,DC=com"`, 0},
		{`claims.dns.exists(g, g == "CN=Ops,DC=com")`, 0},
		{`groups.exists(g, g == "x") && claims.dns.exists(g, g == "CN=Ops,DC=com")`, 0},
	} {
		_, err := when.NewCompiler().Compile(tt.condition)
		mistakes, _ := errors.AsType[when.Errors](err)
		switch {
		case tt.column == 0 && err == nil:
		case len(mistakes) != 1 || mistakes[0].Column != tt.column || mistakes[0].Suggestion != `"cn=ops,dc=com"`:
			t.Errorf("%s: %v, want column %d", tt.condition, err, tt.column)
		}
	}
}

// Distinguished names of somebody in many groups are not read anew for each condition.
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
