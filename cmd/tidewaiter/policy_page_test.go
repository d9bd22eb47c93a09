package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// With the policy of the page, the commands of docs/policy.md must print the output that the page
// shows.
func TestThePageOfPolicyCanBeFollowed(t *testing.T) {
	r := openTranscript(t, "../../docs/policy.md")
	write := func(name, text string) {
		if err := os.WriteFile(r.dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(r.dir+"/policy", 0o700); err != nil {
		t.Fatal(err)
	}
	write("policy/base.yaml", "rules: [ { name: base images, subjects: [signed-in], repositories: [\"base/**\"], role: reader } ]\n")
	r.sh("tidewaiter key new --dir keys >/dev/null; echo made")

	fences := regexp.MustCompile("(?ms)^```(yaml|console)\n(.*?)^```$")
	named := regexp.MustCompile(`\A# (\w+\.yaml)\n`)
	head, rest, _ := strings.Cut(r.text, "\n## Query the policy\n")
	write("tidewaiter.yaml", "registries: [ { service: registry.example.com } ]\nsigning: { root: { folder: keys } }\nidentity: [ { accounts: {} } ]\ndatabase: sqlite:state.db\n"+
		fences.FindStringSubmatch(head)[2])
	r.sh("tidewaiter user add bob --no-password")

	page := head + "\n## Query the policy\n" + fences.ReplaceAllStringFunc(rest, func(block string) string {
		switch kind, body := fence(block); {
		case kind == "yaml" && named.MatchString(body):
			write(named.FindStringSubmatch(body)[1], body)
		case kind == "console":
			return r.runConsole(body)
		case strings.HasPrefix(body, "tests:"):
			write("tests.yaml", body)
		default: // the config of a CI system, with commands
			for _, line := range regexp.MustCompile(`(?m)^ +- (?:run: )?(tidewaiter policy .*)$`).FindAllStringSubmatch(body, -1) {
				r.runCounted(line[1] + "; test $? = 1 && echo it found the error above")
			}
		}
		return block
	})
	r.compare(page, 8)
}
