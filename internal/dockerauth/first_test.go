package dockerauth_test

import (
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// This file evaluates a list as the documentation of docker_auth describes: the first entry that
// matches decides. It uses no code of the importer.

type listEntry struct {
	account, kind, name, service, ip *string
	labels                           map[string]string
	actions                          []string
}

type listRequest struct {
	account, kind, name, service string
	ip                           netip.Addr
	labels                       map[string][]string
	actions                      []string
}

// firstActions returns the actions that docker_auth grants: the actions of the first entry that
// matches.
func firstActions(list []listEntry, r listRequest) []string {
	for _, e := range list {
		if !e.matches(r) {
			continue
		}
		if len(e.actions) == 1 && e.actions[0] == "*" {
			return r.actions
		}
		var granted []string
		for _, a := range r.actions {
			if slices.Contains(e.actions, a) {
				granted = append(granted, a)
			}
		}
		return granted
	}
	return nil
}

func (e listEntry) matches(r listRequest) bool {
	if e.ip != nil {
		network, err := netip.ParsePrefix(*e.ip)
		if err != nil {
			// docker_auth uses net.IPNet. For it, an IPv4 address and its IPv6 form are equal.
			addr := netip.MustParseAddr(*e.ip).Unmap()
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		if !network.Contains(r.ip.Unmap()) {
			return false
		}
	}
	vars := append([]string{
		"${account}", regexp.QuoteMeta(r.account), "${type}", regexp.QuoteMeta(r.kind),
		"${name}", regexp.QuoteMeta(r.name), "${service}", regexp.QuoteMeta(r.service),
	}, e.captureVariables(r)...)
	for key, p := range e.labels {
		if !slices.ContainsFunc(r.labels[key], func(v string) bool { return matchText(strings.NewReplacer(vars...).Replace(p), v) }) {
			return false
		}
	}
	return r.matchesSome(e.account, r.account, vars) && r.matchesSome(e.kind, r.kind, vars) && r.matchesSome(e.name, r.name, vars) && r.matchesSome(e.service, r.service, vars)
}

// captureVariables returns the variables for captures, such as ${account:1}, with their values.
// docker_auth does not quote the values in patterns.
func (e listEntry) captureVariables(r listRequest) (vars []string) {
	fields := map[string]struct {
		pattern *string
		text    string
	}{"Account": {e.account, r.account}, "Type": {e.kind, r.kind}, "Name": {e.name, r.name}, "Service": {e.service, r.service}}
	for _, name := range []string{"Account", "Type", "Name", "Service"} {
		p := fields[name].pattern
		if p == nil {
			continue
		}
		for _, found := range captureGroup.FindAllStringSubmatch(*p, -1) {
			of, ok := fields[strings.ToUpper(found[1][:1])+found[1][1:]]
			if !ok || of.pattern == nil || len(*of.pattern) < 2 || (*of.pattern)[0] != '/' || (*of.pattern)[len(*of.pattern)-1] != '/' {
				continue
			}
			re, err := regexp.Compile((*of.pattern)[1 : len(*of.pattern)-1])
			if err != nil {
				continue
			}
			index, _ := strconv.Atoi(found[2])
			if text := re.FindStringSubmatch(of.text); index >= 1 && index < len(text) {
				vars = append(vars, found[0], text[index])
			}
		}
	}
	return vars
}

var captureGroup = regexp.MustCompile(`\$\{(.+?):(\d+)\}`)

// matchesSome first tries the unchanged pattern, and then the pattern with each value of the
// labels. docker_auth does not quote the values of labels.
func (r listRequest) matchesSome(p *string, s string, vars []string) bool {
	if p == nil {
		return true
	}
	if matchText(strings.NewReplacer(vars...).Replace(*p), s) {
		return true
	}
	ways, some := [][]string{nil}, false
	for key, values := range r.labels {
		placeholder := "${labels:" + key + "}"
		if !strings.Contains(*p, placeholder) {
			continue
		}
		some = true
		var more [][]string
		for _, w := range ways {
			for _, v := range values {
				more = append(more, append(slices.Clone(w), placeholder, v))
			}
		}
		ways = more
	}
	return some && slices.ContainsFunc(ways, func(w []string) bool {
		return matchText(strings.NewReplacer(append(slices.Clone(vars), w...)...).Replace(*p), s)
	})
}

func matchText(p, s string) bool {
	if len(p) > 2 && p[0] == '/' && p[len(p)-1] == '/' {
		ok, err := regexp.MatchString(p[1:len(p)-1], s)
		return ok && err == nil
	}
	ok, err := path.Match(p, s)
	return ok && err == nil
}
