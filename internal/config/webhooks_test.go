package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProblemsOfWebhooks(t *testing.T) {
	hook := func(more string) string {
		return "registries: [{service: a}]\nwebhooks: [{name: ci, " + more + "}]"
	}
	secret := "secrets: [{secret: " + sharedKey + "}]"
	https := "url: 'https://ci.example.com', "
	for _, tt := range []struct {
		about, text string
		diagnostics []string
	}{
		{"nothing", "registries: [{service: a}]\nwebhooks: [{}]", []string{
			"2:12: name is missing", "2:12: url is missing", "2:12: secrets is missing"}},
		{"no secret", hook(https + "secrets: []"), []string{
			"2:63: the list is empty, which could mean none or all; add items, or leave out the key"}},
		{"a secret of another form, which is not repeated", hook(https + "secrets: [{secret: hunter2hunter2hunter2}]"), []string{
			"2:73: the secret must begin with whsec_, or with whsk_ if it is an Ed25519 private key"}},
		{"no encryption", hook("url: 'http://ci.example.com', " + secret), []string{
			"2:28: messages would travel unencrypted: use https://, or private_addresses: true for an endpoint in your network"}},
		{"other kinds, patterns and namespaces", hook(https + secret + ", kinds: [events], repositories: ['team/${user}', 'Team/**'], namespaces: ['team/*', '']"), []string{
			`2:123: "events" is not one of event, decision, change, service (did you mean "event"?)`,
			"2:147: placeholders such as ${user} have no value here",
			`2:163: the pattern "Team/**" has the upper-case letter 'T', which no repository's name has (did you mean "team/**"?)`,
			`2:188: "team/*" is not the name of a namespace such as team; for patterns, use repositories`,
			`2:198: "" is not the name of a namespace such as team; for patterns, use repositories`}},
		{"the same name twice", "registries: [{service: a}]\nwebhooks:\n- {name: ci, " + https + secret + "}\n- {name: ci, " + https + secret + "}", []string{
			`4:10: another webhook is called "ci", in line 3`}},
		{"names and paths that are used twice", hook(https+secret) + "\njournal: {files: [{name: ci, path: a.jsonl}, {name: b, path: a.jsonl}]}", []string{
			`3:26: another file or webhook is called "ci"`, "3:62: another item of the list has the same path"}},
		{"a file of another purpose", hook(https+secret) + "\ndatabase: 'sqlite:state.db'\njournal: {files: [{name: a, path: state.db-wal}, {name: b, path: tidewaiter.yaml}, {name: c, path: ./state.db}]}", []string{
			"4:35: this file belongs to the database: give another file", "4:66: this file belongs to the config: give another file",
			"4:100: this file belongs to the database: give another file"}},
		{"a missing file", hook(https + secret + ", ca: none.pem"), []string{"2:119: opening none.pem: file does not exist"}},
	} {
		t.Run(tt.about, func(t *testing.T) {
			_, err := loadText(t, files{"tidewaiter.yaml": tt.text}.withKeys())
			if diff := cmp.Diff(tt.diagnostics, errorLines(err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A webhook or a file that can receive nothing is allowed, but probably not intended.
func TestWarningsOfWebhooks(t *testing.T) {
	hook := func(more string) string {
		return "registries: [{service: a}]\nwebhooks:\n- {name: ci, secrets: [{secret: " + sharedKey + "}], " + more + "}\n"
	}
	for _, tt := range []struct {
		about, text string
		want        []string
	}{
		{"actions of events", hook("url: 'https://ci.example.com', actions: [push, pull, mount, delete]"), nil},
		{"an action of another kind", hook("url: 'https://ci.example.com', actions: [push, user.add]"), []string{
			`3:122: no entry of these kinds has the action "user.add": add change or service to kinds`}},
		{"an action of a change", hook("url: 'https://ci.example.com', kinds: [event, change], actions: [push, user.add]"), nil},
		{"an action that registries do not report", hook("url: 'https://ci.example.com', actions: [pushes]"), []string{
			`3:116: registries report only the actions push, pull, mount, delete, but not "pushes"`}},
		{"an address of this machine", hook("url: 'https://localhost:9001'"), []string{
			"3:80: no message can be sent, because the host is an address of this machine: to permit it, set private_addresses: true"}},
		{"an address of the network", hook("url: 'https://10.0.0.1/x'"), []string{
			"3:80: no message can be sent, because the host is a private address: to permit it, set private_addresses: true"}},
		{"a permitted address", hook("url: 'http://127.0.0.1:9001', private_addresses: true"), nil},
		{"a file in a missing folder", "registries: [{service: a}]\njournal: {files: [{name: a, path: log/a.jsonl, actions: [pushes, user.add]}]}", []string{
			"2:35: entries wait until the folder exists: opening log: file does not exist"}},
	} {
		t.Run(tt.about, func(t *testing.T) {
			c, err := loadText(t, files{"tidewaiter.yaml": tt.text}.withKeys())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range c.Warnings {
				if w.Line > 1 {
					got = append(got, strings.TrimPrefix(w.String(), "tidewaiter.yaml:"))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheNumberOfWebhooksIsLimited(t *testing.T) {
	var b strings.Builder
	b.WriteString("registries: [{service: a}]\nwebhooks:\n")
	for i := range maxWebhooks + 1 {
		fmt.Fprintf(&b, "- {name: h%d, url: 'https://ci.example.com', secrets: [{secret: %s}]}\n", i, sharedKey)
	}
	_, err := loadText(t, files{"tidewaiter.yaml": b.String()}.withKeys())
	if diff := cmp.Diff([]string{"3:1: there are 101 webhooks; at most 100 are possible"}, errorLines(err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
