package when_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/policy/when"
)

func TestComparisonsOfImpossibleTypes(t *testing.T) {
	for condition, want := range map[string]string{
		`claims.ip == request.ip`:              `1:1: claims.ip and request.ip never have the same type, so comparing them is an error for every request`,
		`user == "ann" && claims.since != now`: `1:18: claims.since and now never have the same type, so comparing them is an error for every request`,
		`claims.exp < now`:                     `1:1: claims.exp and now never have the same type, so comparing them is an error for every request`,
		`claims.ip in [request.ip]`:            `1:1: claims.ip and the items of the list never have the same type, so comparing them is an error for every request`,
		`!(user in [1, dyn(2), 3])`:            ``,
		`request.ip == 3`:                      `1:12: == cannot be applied to an address and a number`,
		`request.ip == "10.0.0.1"`:             `1:12: == cannot be applied to an address and a text: write cidr("10.0.0.0/8").containsIP(request.ip)`,
		`claims.a == claims.b`:                 ``,
		`claims.a == null`:                     ``,
		`timestamp(claims.exp) < now`:          ``,
		`claims.?ip == optional.of("x")`:       ``,
		`claims.a in []`:                       ``,
		`claims.x == duration("1h")`:           `1:1: claims.x and a duration never have the same type, so comparing them is an error for every request`,
		`claims.x == b"abc"`:                   `1:1: claims.x and bytes never have the same type, so comparing them is an error for every request`,
	} {
		got := ""
		if _, err := when.NewCompiler().Compile(condition); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s\nwant: %s", condition, got, want)
		}
	}
}

func TestUses(t *testing.T) {
	for condition, want := range map[string][]when.Use{
		`claims.a == 2`: {{"a", when.Number, 1, 1, `claims.a == 2`}},
		`user == "x" &&` + "\n" + `true != claims["a"]`: {{"a", when.Bool, 2, 9, `true != claims["a"]`}},
		`claims.a in ["x", 2]`:                          {{"a", when.Text | when.Number, 1, 1, `claims.a in ["x", 2]`}},
		`"x" in claims.a`:                               {{"a", when.List | when.Object, 1, 8, `"x" in claims.a`}},
		`claims.a > 1.5 || claims.b`:                    {{"a", when.Number, 1, 1, `claims.a > 1.5`}, {"b", when.Bool, 1, 19, `claims.b`}},
		`!claims.a`:                                     {{"a", when.Bool, 1, 2, `claims.a`}},
		`claims.a.startsWith("x")`:                      {{"a", when.Text, 1, 1, `claims.a.startsWith("x")`}},
		`claims.a.exists(x, x == "y")`:                  {{"a", when.List | when.Object, 1, 1, `claims.a`}},
		`claims.a == user`:                              {{"a", when.Text, 1, 1, `claims.a == user`}},
		`claims.a != claims.b`:                          nil,
		`size(claims.a) > 1`:                            {{"a", when.Text | when.List | when.Object, 1, 6, `size(claims.a)`}},
		`has(claims.a) || claims.a == null`:             nil,
		`claims.a.b == 2 || claims[?"a"].orValue(2) == 2 || type(claims.a) == string`: nil,
		`now.getHours() == 3`: nil,
	} {
		if diff := cmp.Diff(want, when.Uses(compile(t, condition))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", condition, diff)
		}
	}
}
