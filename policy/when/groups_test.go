package when_test

import (
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
		{`"Team=Ops,Env=Prod" in groups`, "team=ops,env=prod", false},
	} {
		c, err := when.NewCompiler().Compile(tt.condition)
		if err != nil {
			t.Fatalf("%s: %v", tt.condition, err)
		}
		groups := []string{"x", tt.group}
		r := &policy.Request{Principal: &policy.Principal{Kind: policy.User, Name: "ann", Groups: groups}}
		if holds, err := c.Holds(r); err != nil || holds != tt.holds {
			t.Errorf("%s of %s: %v, %v", tt.condition, tt.group, holds, err)
		}
		if groups[1] != tt.group {
			t.Errorf("the principal was changed: %s", groups[1])
		}
	}
}
