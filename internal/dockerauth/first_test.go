package dockerauth_test

import (
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
)

// What follows evaluates a list as docker_auth does, written from what its documentation says and from nothing of
// the importer: the first entry that matches decides.

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

// first decides as docker_auth does: the first entry that matches.
func first(list []listEntry, r listRequest) []string {
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
			addr := netip.MustParseAddr(*e.ip)
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		if !network.Contains(r.ip) {
			return false
		}
	}
	for key, p := range e.labels {
		if !slices.ContainsFunc(r.labels[key], func(v string) bool { return matchText(r.fill(p, nil), v) }) {
			return false
		}
	}
	return r.matchesSome(e.account, r.account) && r.matchesSome(e.kind, r.kind) && r.matchesSome(e.name, r.name) && r.matchesSome(e.service, r.service)
}

// matchesSome tries the values of the labels one after the other.
func (r listRequest) matchesSome(p *string, s string) bool {
	if p == nil {
		return true
	}
	ways := []map[string]string{{}}
	for key, values := range r.labels {
		if !strings.Contains(*p, "${labels:"+key+"}") {
			continue
		}
		var more []map[string]string
		for _, w := range ways {
			for _, v := range values {
				one := map[string]string{key: v}
				for k, o := range w {
					one[k] = o
				}
				more = append(more, one)
			}
		}
		ways = more
	}
	return slices.ContainsFunc(ways, func(w map[string]string) bool { return matchText(r.fill(*p, w), s) })
}

func (r listRequest) fill(p string, labels map[string]string) string {
	vars := []string{
		"${account}", regexp.QuoteMeta(r.account), "${type}", regexp.QuoteMeta(r.kind),
		"${name}", regexp.QuoteMeta(r.name), "${service}", regexp.QuoteMeta(r.service),
	}
	for key, v := range labels {
		vars = append(vars, "${labels:"+key+"}", v)
	}
	return strings.NewReplacer(vars...).Replace(p)
}

func matchText(p, s string) bool {
	if len(p) > 2 && p[0] == '/' && p[len(p)-1] == '/' {
		ok, err := regexp.MatchString(p[1:len(p)-1], s)
		return ok && err == nil
	}
	ok, err := path.Match(p, s)
	return ok && err == nil
}
