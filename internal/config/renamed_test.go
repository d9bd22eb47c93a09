package config

import (
	"strings"
	"testing"
)

// A key that has another name now is an error that gives the name: ignored, the old one would leave people with another limit than
// they wrote.
func TestARenamedKeyNamesItsNewName(t *testing.T) {
	for was, is := range map[string]string{
		"failures_per_name: 3":     `tidewaiter.yaml:3:11: the key "failures_per_name" has another name now (did you mean "max_failures_per_pair"?)`,
		"failures_per_address: 30": `tidewaiter.yaml:3:11: the key "failures_per_address" has another name now (did you mean "max_failures_per_source"?)`,
		"longest_delay: 1m":        `tidewaiter.yaml:3:11: the key "longest_delay" has another name now (did you mean "max_delay"?)`,
	} {
		text := "registries: [{service: r}]\nidentity: [{anyone: {}}]\nlimits: { " + was + " }\n"
		_, err := loadText(t, files{"tidewaiter.yaml": text}.withKeys())
		if err == nil || !strings.Contains(err.Error(), is) {
			t.Errorf("%s: %v", was, err)
		}
	}
}

// Half of a budget is for places that are known, half for all others.
func TestABudgetOfOneIsNone(t *testing.T) {
	text := "registries: [{service: r}]\nidentity: [{ldap: {name: corp, servers: [ldaps://a], user: {base: o=x}, attempts: { max: 1 }}}]\n"
	_, err := loadText(t, files{"tidewaiter.yaml": text}.withKeys())
	if err == nil || !strings.Contains(err.Error(), "at least 2 attempts") {
		t.Errorf("%v", err)
	}
}
