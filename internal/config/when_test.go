package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ruleLines is a rule without its condition, in lines 2 to 7 of a config.
const ruleLines = "policy:\n  rules:\n  - name: a\n    subjects: [anyone]\n    repositories: [a]\n    actions: [pull]\n"

// An error in a condition has the position of its character in the file, for every style of
// scalar.
func TestPositionsOfErrorsInConditions(t *testing.T) {
	for _, tt := range []struct {
		about, when string // from line 8
		diagnostics []string
	}{
		{"plain", `    when: user == "a" && "x" in grops`, []string{
			`8:33: unknown name "grops" (did you mean "groups"?)`}},
		{"plain, with several errors", `    when: usr == "a" || now.getHours("Europe/Pari") > 3`, []string{
			`8:11: unknown name "usr" (did you mean "user"?)`}},
		{"plain, over several lines", "    when: user == \"a\" &&\n      \"x\" in groups &&\n\n      usr == \"y\"", []string{
			`11:7: unknown name "usr" (did you mean "user"?)`}},
		{"in single quotes", `    when: '"it''s" == user && "x" in grops'`, []string{
			`8:38: unknown name "grops" (did you mean "groups"?)`}},
		{"in double quotes", `    when: "\"a\\\"b\" == \x75ser && \"x\" in grops"`, []string{
			`8:46: unknown name "grops" (did you mean "groups"?)`}},
		{"in double quotes, over several lines", "    when: \"user == 'a' &&\n      usr == 'b'\"", []string{
			`9:7: unknown name "usr" (did you mean "user"?)`}},
		{"as a literal block", "    when: |\n      // who\n      user == \"a\" &&\n        usr == \"b\"\n", []string{
			`11:9: unknown name "usr" (did you mean "user"?)`}},
		{"as a folded block", "    when: >-\n      user == \"a\" &&\n      usr == \"b\"\n", []string{
			`10:7: unknown name "usr" (did you mean "user"?)`}},
		{"after letters of several bytes", `    when: user == "Zoë" || usr == "b"`, []string{
			`8:28: unknown name "usr" (did you mean "user"?)`}},
		{"at the end", `    when: user ==`, []string{
			`8:18: unexpected end of the condition: expected a value`}},
		{"at the end of a block", "    when: |\n      user ==\n", []string{
			`9:14: unexpected end of the condition: expected a value`}},
		{"a condition that is not a boolean", `    when: claims.ref`, []string{
			`8:11: claims.ref can have any type, and a condition must be true or false: compare it (did you mean "claims.ref == \"…\""?)`}},
		{"a zone", `    when: 'now.getDayOfWeek("Europe/Pariss") in [0, 6]'`, []string{
			`8:29: unknown time zone "Europe/Pariss" (did you mean "Europe/Paris"?)`}},
		{"nothing", `    when: ""`, []string{`8:12: the condition is empty`}},
		{"a list", `    when: [user]`, []string{`8:11: must be a text, not a list`}},
		{"another word", `    if: user == "a"`, []string{
			`8:5: unknown key "if"; the keys here are name, effect, subjects, registries, repositories, catalog, tidewaiter, role, actions, when, lifetime, comment`}},
	} {
		t.Run(tt.about, func(t *testing.T) {
			_, err := loadText(t, files{"tidewaiter.yaml": base + ruleLines + tt.when + "\n"}.withKeys())
			if diff := cmp.Diff(tt.diagnostics, errorLines(err)); diff != "" {
				t.Errorf("problems of\n%s\n(-want +got):\n%s", tt.when, diff)
			}
		})
	}
}
