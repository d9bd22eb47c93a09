package when_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy"
)

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		condition string
		of        func() *policy.Request
		values    []string
	}{
		{`claims.ref == "refs/heads/main"`, job, []string{`claims.ref is "refs/heads/dev"`}},
		{`claims.ref == "refs/heads/main"`, ann, []string{`claims.ref is missing`}},
		{`now.getDayOfWeek("Europe/Paris") in [SATURDAY, SUNDAY]`, ann, []string{
			`now.getDayOfWeek("Europe/Paris") is 4`, `now is 2026-11-25T23:30:00Z`}},
		{`cidr("10.0.0.0/8").containsIP(request.ip)`, job, []string{`request.ip is 192.0.2.7`}},
		{`has(claims.ref)`, ann, []string{`has(claims.ref) is false`}},
		{`claims.fork == true`, job, []string{`claims.fork is false`}},

		// The operands of logical operators are explained in the order of the text.
		{`user == "bob" && "dev" in groups`, ann, []string{
			`user == "bob" is false`, `user is "ann"`, `"dev" in groups is true`, `groups is ["dev", "team-a"]`}},
		{`claims.a.b == "x" || !(claims.run > 3)`, job, []string{
			`claims.a.b == "x" is not known`, `claims.a.b is missing`, `claims.run > 3 is false`, `claims.run is 3`}},
		{`groups.exists(g, g == "ops") ? user == "ann" : client.startsWith("curl/")`, ann, []string{
			`groups.exists(g, g == "ops") is false`, `groups is ["dev", "team-a"]`, `user == "ann" is true`, `user is "ann"`,
			`client.startsWith("curl/") is false`, `client is "docker/27.0 go/1.26"`}},
		{`claims[?"zone"].orValue("z") == "y"`, job, []string{`claims[?"zone"].orValue("z") is "z"`, `claims[?"zone"] is none`}},
		{`claims.pod == {} || claims.teams == [] || claims.none == "x"`, job, []string{
			`claims.pod == {} is false`, `claims.pod is {"node": {"name": "n1"}}`, `claims.teams == [] is false`,
			`claims.teams is ["a", "b"]`, `claims.none == "x" is an error: null and a text cannot be compared in claims.none == "x"`, `claims.none is null`}},
		{`int(claims.ref) > 3`, job, []string{
			`int(claims.ref) is an error: the value cannot be converted in int(claims.ref)`, `claims.ref is "refs/heads/dev"`}},
	} {
		var got []string
		for _, v := range compile(t, tt.condition).Explain(tt.of()) {
			got = append(got, fmt.Sprintf("%s is %s", v.Expression, v.Value))
		}
		if diff := cmp.Diff(tt.values, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.condition, diff)
		}
	}
	r := ann()
	r.IP = netip.Addr{}
	if got := compile(t, `request.ip.isLoopback()`).Explain(r); len(got) != 1 || got[0].Value != "not known" {
		t.Errorf("without an address: %v", got)
	}
}

// A long claim is cut, and control characters are escaped.
func TestExplanationsAreShort(t *testing.T) {
	r := job()
	r.Principal.Claims["ref"] = "\x1b[2J" + strings.Repeat("é", 1000)
	r.Principal.Claims["teams"] = []any{strings.Repeat("x", 1000), strings.Repeat("y", 1000)}
	for _, v := range compile(t, `claims.ref == "x" || claims.teams == []`).Explain(r) {
		if len(v.Value) > 210 || strings.ContainsRune(v.Value, '\x1b') {
			t.Errorf("%s is %q", v.Expression, v.Value)
		}
	}
}
