package when_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
	"github.com/tidewaiter/tidewaiter/scope"
)

// typedRequest is a request of a principal with a claim of each type, decoded as identity sources
// decode claims.
func typedRequest() *policy.Request {
	claims, _ := policy.CanonicalClaims(map[string]any{
		"text": "2", "number": json.Number("2.0"), "half": 0.5, "big": json.Number("9007199254740993"), "huge": json.Number("123456789012345678901"),
		"unsigned": json.Number("18446744073709551615"), "true": true, "texts": []string{"a", "b"}, "mixed": []any{"a", 1, true}, "numbers": []any{1, 2},
		"object": map[string]any{"n": 1, "t": "x"}, "empty": []any{},
	})
	claims["null"] = nil // no source returns a null claim, but a program can create one
	return &policy.Request{
		Principal: &policy.Principal{Kind: policy.Workload, Name: "ci", Claims: claims},
		Registry:  "r", IP: netip.MustParseAddr("192.0.2.7"), Client: "docker/27", Now: wednesday,
	}
}

// A comparison of values of different types is an error, no matter how the comparison is
// written. If the comparison were false, its negation would be true.
func TestDifferentTypesAreNeverCompared(t *testing.T) {
	for _, condition := range []string{
		`claims.text == 2`, `claims.text != 2`, `2 == claims.text`, `!(claims.text == 2)`, `claims.text < 3`, `claims.text >= 1.5`,
		`claims.number == "2"`, `claims.number != "2"`, `"2" != claims.number`, `claims.number < "3"`, `claims.number > true`,
		`claims["true"] == "true"`, `claims["true"] != "true"`, `claims["true"] == 1`, `claims["true"] != 1`, `"true" != claims["true"]`,
		`claims["null"] == "x"`, `claims["null"] != "x"`, `claims["null"] == false`, `claims["null"] != 0`, `claims["null"] < 1`,
		`claims.text in [1, 2]`, `!(claims.text in [1, 2])`, `claims.number in ["1", "2"]`, `!(claims.number in ["2"])`, `claims["true"] in ["true"]`,
		`claims.number in ["2", "3"] || false`, `claims["null"] in ["x"]`, `claims.text in {1: true}`, `claims.number in {"2": true}`,
		`"2" in claims.numbers`, `!("2" in claims.numbers)`, `1 in claims.texts`, `!(true in claims.texts)`, `3 in claims.object`, `"c" in claims.mixed`,
		`"a" in claims.text`, `!("a" in claims.number)`, `claims.texts == "a"`, `claims.texts != "a"`, `claims.text == ["2"]`, `claims.object == []`,
		`claims.texts == [1, 2]`, `claims.texts != [1, 2]`, `claims.mixed != ["a", "1", true]`, `claims.object == {"n": "1", "t": "x"}`,
		`claims.object != {"n": "1", "t": "x"}`, `claims.object == {"n": 1, "t": 2}`, `claims.texts.exists(t, t == 1)`, `claims.texts.all(t, t != 1)`,
		`!claims.numbers.exists(n, n == "1")`, `claims.numbers.exists_one(n, n == "1")`, `size(claims.numbers.filter(n, n == "1")) == 0`,
		`claims[?"number"].orValue("none") == "2"`, `claims[?"number"].orValue("none") != "none"`, `claims.?number == optional.of("2")`,
		`claims.?number != optional.of("2")`, `claims.text == claims.number`, `claims.text != claims["true"]`, `(claims["true"] ? claims.text : "x") == 2`,
		`claims.text.part == "x"`, `has(claims.text.part)`, `!has(claims.text.part)`, `!has(claims.number.part)`, `has(claims.texts.part)`, `!has(claims["null"].part)`,
		`!claims.?text.?part.hasValue()`, `claims[?"text"][?"part"].orValue("x") == "x"`, `claims.?texts.?part.orValue("x") == "x"`,
		`claims.text && true`, `!claims.text`, `claims.number ? true : true`, `claims.text + 1 == 3`, `claims.text + 1 != 3`, `size(claims.number) == 1`,
		`claims.number.startsWith("2")`, `claims.number.matches("2")`, `claims.texts["a"] == "a"`, `claims.object[1] == 1`, `dyn(user) == 2`,
		`dyn(client) != 2`, `[dyn(1)] == ["1"]`, `dyn(registry) in [1]`, `claims.huge == 1`, `claims.huge != 1`, `claims.huge < 1`,
		`{"a": dyn(1)} == {"a": "1"}`, `timestamp(claims.number) == now || claims.number == "x"`,
	} {
		c, err := when.NewCompiler().Compile(condition)
		if err != nil {
			t.Errorf("%s: %v", condition, err)
			continue
		}
		if holds, err := c.Holds(typedRequest()); err == nil {
			t.Errorf("%s is %t", condition, holds)
		}
		c.Explain(typedRequest())
	}
}

func TestEqualTypesAreCompared(t *testing.T) {
	for condition, want := range map[string]bool{
		`claims.text == "2"`: true, `claims.text != "2"`: false, `claims.number == 2`: true, `claims.number == 2.0`: true, `claims.number == 2u`: true,
		`claims.number != 3`: true, `claims.number in [1, 2]`: true, `claims.number in [1.5, 2.0]`: true, `claims.number in ["x", 2]`: true,
		`claims.half == 0.5`: true, `claims.half < 1`: true, `claims.half == 1`: false, `claims["true"] == true`: true, `claims["true"] && true`: true,
		`claims.big == 9007199254740993`: true, `claims.big == 9007199254740992`: false, `claims.big == 9007199254740992.0`: false,
		`claims.unsigned == 18446744073709551615u`: true, `claims.unsigned > 1`: true,
		`claims["null"] == null`: true, `claims.text == null`: false, `claims.text != null`: true, `null != claims.number`: true,
		`"a" in claims.texts`: true, `"c" in claims.texts`: false, `1 in claims.mixed`: true, `2 in claims.numbers`: true, `"x" in claims.empty`: false,
		`claims.texts == ["a", "b"]`: true, `claims.texts == ["a"]`: false, `claims.texts == [1]`: false, `claims.texts == ["b", 1]`: false,
		`claims.object == {"n": 1, "t": "x"}`: true, `claims.object == {"n": 2, "t": 7}`: false, `"n" in claims.object`: true, `"z" in claims.object`: false,
		`claims.numbers.exists(n, n == 2)`: true, `claims.mixed.exists(m, m == "a")`: true, `claims.empty == []`: true,
		`claims.?number == optional.of(2)`: true, `claims.?none == optional.of(2)`: false, `claims.?none == optional.none()`: true,
		`type(claims.text) == string && type(claims.number) == int`: true, `string(claims.number) == "2" && int(claims.text) == 2`: true,
		`claims.number == 2 || claims.text == 2`: true, `claims.number == 3 && claims.text == 2`: false,
	} {
		holds, err := compile(t, condition).Holds(typedRequest())
		if err != nil || holds != want {
			t.Errorf("%s is %t, %v", condition, holds, err)
		}
	}
}

// An input that a request omits is unknown. A condition that reads such an input fails, so a
// deny rule applies and an allow rule does not.
func TestOmittedFieldsAreUnknown(t *testing.T) {
	whole := typedRequest()
	for field, tt := range map[string]struct {
		without    func(*policy.Request)
		conditions []string
	}{
		"time": {func(r *policy.Request) { r.Now = time.Time{} }, []string{
			`now >= timestamp("2026-01-01T00:00:00Z")`, `now < timestamp("2026-01-01T00:00:00Z")`, `now.getFullYear() == 1`, `!(now.getDayOfWeek() in [SATURDAY])`,
		}},
		"address": {func(r *policy.Request) { r.IP = netip.Addr{} }, []string{
			`cidr("10.0.0.0/8").containsIP(request.ip)`, `!cidr("10.0.0.0/8").containsIP(request.ip)`, `request.ip != ip("10.1.2.3")`,
		}},
		"registry": {func(r *policy.Request) { r.Registry = "" }, []string{`registry == "r"`, `registry != "r"`, `!(registry in ["x"])`, `registry == ""`}},
		"claims":   {func(r *policy.Request) { r.Principal = nil }, []string{`claims.text != "x"`, `!(claims.text in ["x"])`, `claims.text == null`}},
	} {
		for _, text := range tt.conditions {
			condition := compile(t, text)
			r := *whole
			tt.without(&r)
			if holds, err := condition.Holds(&r); err == nil {
				t.Errorf("without the %s, %s is %t", field, text, holds)
			}
			if _, err := condition.Holds(whole); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			for _, deny := range []bool{true, false} {
				p, err := policy.Compile(policy.Source{Rules: []policy.Rule{
					{Name: "all", Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull},
					{Name: "it", Deny: deny, Subjects: []string{"anyone"}, Names: []string{"**"}, Actions: scope.Pull | scope.Push, When: condition},
				}})
				if err != nil {
					t.Fatal(err)
				}
				r.Scopes = []scope.Scope{{Type: "repository", Name: "a", Actions: scope.Pull | scope.Push}}
				want := scope.Pull
				if deny {
					want = 0
				}
				if got := p.Decide(&r).Results[0].Granted; got != want {
					t.Errorf("without the %s, with deny=%t %s: %s", field, deny, text, got)
				}
			}
		}
	}
}

// Two values are equal if their JSON is the same. A comparison of values of different types is
// an error. The test computes the expected result from the JSON.
func TestPropertyComparisonsAgreeWithJSON(t *testing.T) {
	compiler := when.NewCompiler()
	texts := map[string]func(same, comparable bool) (holds, fails bool){
		`claims.a == claims.b`:      func(same, comparable bool) (bool, bool) { return same, !comparable },
		`claims.a != claims.b`:      func(same, comparable bool) (bool, bool) { return comparable && !same, !comparable },
		`claims.a in [claims.b]`:    func(same, comparable bool) (bool, bool) { return same, !comparable },
		`!(claims.a in [claims.b])`: func(same, comparable bool) (bool, bool) { return comparable && !same, !comparable },
		`[claims.a] == [claims.b]`:  func(same, comparable bool) (bool, bool) { return same, !comparable },
	}
	rapid.Check(t, func(t *rapid.T) {
		scalar := rapid.SampledFrom([]any{"a", "2", "", "true", "null", 2, json.Number("2.0"), 2.5, -1, true, false, json.Number("9007199254740993"), json.Number("9007199254740992")})
		a, b := scalar.Draw(t, "a"), scalar.Draw(t, "b")
		claims, _ := policy.CanonicalClaims(map[string]any{"a": a, "b": b})
		r := typedRequest()
		r.Principal = &policy.Principal{Kind: policy.User, Name: "ann", Claims: claims}
		left, _ := json.Marshal(claims["a"])
		right, _ := json.Marshal(claims["b"])
		same, comparable := string(left) == string(right), fmt.Sprintf("%T", claims["a"]) == fmt.Sprintf("%T", claims["b"])
		for text, want := range texts {
			c, err := compiler.Compile(text)
			if err != nil {
				t.Fatal(err)
			}
			holds, err := c.Holds(r)
			if wantHolds, wantFails := want(same, comparable); holds != wantHolds || (err != nil) != wantFails {
				t.Errorf("%s of %s and %s: %t, %v", text, left, right, holds, err)
			}
		}
	})
}
