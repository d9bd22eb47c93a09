package config

import (
	"strings"
	"testing"
)

// An old key is an error that names the new key. If Load ignored old keys, their settings would be
// lost silently.
func TestARenamedKeyNamesItsNewName(t *testing.T) {
	for was, is := range map[string]string{
		"failures_per_name: 3":     `tidewaiter.yaml:3:11: the key "failures_per_name" is now "max_failures_per_pair"`,
		"failures_per_address: 30": `tidewaiter.yaml:3:11: the key "failures_per_address" is now "max_failures_per_source"`,
		"longest_delay: 1m":        `tidewaiter.yaml:3:11: the key "longest_delay" is now "max_delay"`,
	} {
		checkRenamed(t, "limits: { "+was+" }", is)
	}
	for was, is := range map[string]string{
		"state: sqlite:a":                                                 `tidewaiter.yaml:3:1: the key "state" is now "database"`,
		"token: { at_most: { user: 1h } }":                                `tidewaiter.yaml:3:10: the key "at_most" is now "max_lifetime"`,
		"decider: { name: a, url: 'https://a' }":                          `tidewaiter.yaml:3:1: the key "decider" is now "authorizer.webhook"`,
		"decider: { name: a, command: [/a] }":                             `tidewaiter.yaml:3:1: the key "decider" is now "authorizer.exec"`,
		"decider: { name: a }":                                            `tidewaiter.yaml:3:1: the key "decider" is now "authorizer"`,
		"authorizer: { webhook: { name: a, url: 'https://a', most: 3 } }": `tidewaiter.yaml:3:53: the key "most" is now "max_concurrent"`,
		"authorizer: { external: { name: a } }":                           `tidewaiter.yaml:3:15: unknown key "external"; the keys here are webhook, exec`,
	} {
		checkRenamed(t, was, is)
	}
}

// In earlier versions, webhook and exec sources were both called "external", and principals were
// stored under this name. So a webhook and an exec source cannot have the same name.
func TestHooksWereOneKind(t *testing.T) {
	for was, want := range map[string]string{
		"identity: [{external: {name: a, url: 'https://a'}}]": `tidewaiter.yaml:2:13: the key "external" is now "webhook"`,
		"identity: [{external: {name: a, command: [/a]}}]":    `tidewaiter.yaml:2:13: the key "external" is now "exec"`,
		"identity: [{external: {name: a}}]":                   `tidewaiter.yaml:2:13: the key "external" is now "webhook" or "exec"`,
		"identity: [{webhook: {name: a, url: 'https://a'}}, {exec: {name: a, command: [/a]}}]": `tidewaiter.yaml:2:66: ` +
			`another webhook or exec is called "a", in line 2`,
		"authorizer: {webhook: {name: a, url: 'https://a'}, exec: {name: b, command: [/a]}}": "tidewaiter.yaml:2:13: give either webhook or exec",
		"authorizer: {exec: {name: b, url: 'https://a'}}":                                    "tidewaiter.yaml:2:20: command is missing",
	} {
		text := "registries: [{service: r}]\n" + was + "\n"
		_, err := loadText(t, files{"tidewaiter.yaml": text}.withKeys())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", was, err)
		}
	}
}

func checkRenamed(t *testing.T, was, want string) {
	t.Helper()
	text := "registries: [{service: r}]\nidentity: [{anyone: {}}]\n" + was + "\n"
	_, err := loadText(t, files{"tidewaiter.yaml": text}.withKeys())
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v", was, err)
	}
}

// Half of a directory's attempts are for known places, and half are for all places. So a limit of
// one attempt is an error.
func TestABudgetCannotBeOne(t *testing.T) {
	text := "registries: [{service: r}]\nidentity: [{ldap: {name: corp, servers: [ldaps://a], user: {base: o=x}, attempts: { max: 1 }}}]\n"
	_, err := loadText(t, files{"tidewaiter.yaml": text}.withKeys())
	if err == nil || !strings.Contains(err.Error(), "must be 0 or at least 2") {
		t.Errorf("%v", err)
	}
}
