package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// The policy tests of examples/team must pass without keys, secrets and password files. They must
// fail if the rules of one team are missing.
func TestPolicyTestsOfTheExample(t *testing.T) {
	files, err := filepath.Glob("../../examples/team/tests/*.yaml")
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	test := func(args ...string) (exit int, out string) {
		var b bytes.Buffer
		exit = run(t.Context(), append(append([]string{"policy", "test", "--strict"}, args...), files...), strings.NewReader(""), &b, &b)
		return exit, b.String()
	}
	if exit, out := test("--config", "../../examples/team/tidewaiter.yaml"); exit != 0 || !strings.Contains(out, "the policy is as expected") {
		t.Errorf("exit %d:\n%s", exit, out)
	}
	without := strings.Fields("--policy ../../examples/team/policy/base.yaml --policy ../../examples/team/policy/payments.yaml")
	if exit, out := test(without...); exit != 1 || !strings.Contains(out, "user:dan may not pull payments/lib/money, but was expected to") {
		t.Errorf("without the rules of the search team: exit %d:\n%s", exit, out)
	}
}
