package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// This is a second evaluator. It follows the package comment, and uses no code of the package,
// no index and no optimizations. Decide must return the same results.

type naiveAnswer struct {
	Granted  scope.Actions
	Reasons  map[scope.Actions]policy.Reason
	Rules    map[scope.Actions]string
	Lifetime time.Duration
}

func naiveDecide(source policy.Source, r *policy.Request, asked scope.Scope) naiveAnswer {
	answer := naiveAnswer{Reasons: map[scope.Actions]policy.Reason{}, Rules: map[scope.Actions]string{}}
	for bit := scope.Actions(1); bit != 0; bit <<= 1 {
		if asked.Actions&bit == 0 {
			continue
		}
		reason, name := naiveAction(source, r, asked, bit)
		answer.Reasons[bit], answer.Rules[bit] = reason, name
		if reason == policy.Allowed {
			answer.Granted |= bit
		}
	}
	for _, rule := range source.Rules {
		parts := answer.Granted & naiveActions(source, rule)
		lifetimes := slices.DeleteFunc([]time.Duration{rule.Lifetime, source.Roles[rule.Role].Lifetime}, func(d time.Duration) bool { return d == 0 })
		if rule.Deny || parts == 0 || len(lifetimes) == 0 || !naiveMatches(rule, r, asked) {
			continue
		}
		if holds, err := naiveHolds(rule, r); !holds || err != nil {
			continue
		}
		if lifetime := slices.Min(lifetimes); answer.Lifetime == 0 || lifetime < answer.Lifetime {
			answer.Lifetime = lifetime
		}
	}
	return answer
}

func naiveAction(source policy.Source, r *policy.Request, asked scope.Scope, action scope.Actions) (policy.Reason, string) {
	var denied, allowed, failed []string
	for _, rule := range source.Rules {
		if naiveActions(source, rule)&action == 0 || !naiveMatches(rule, r, asked) {
			continue
		}
		holds, err := naiveHolds(rule, r)
		switch {
		case rule.Deny && (holds || err != nil):
			denied = append(denied, rule.Name)
		case rule.Deny:
		case holds && err == nil:
			allowed = append(allowed, rule.Name)
		default:
			failed = append(failed, rule.Name)
		}
	}
	switch {
	case len(denied) > 0:
		return policy.Denied, denied[0]
	case len(allowed) > 0:
		limits := r.Principal.Limits
		for _, l := range limits {
			if l.Actions&action != 0 && naiveType(l.Type) == naiveType(asked.Type) && naiveAny(l.Names, asked.Name, r.Principal) {
				return policy.Allowed, allowed[0]
			}
		}
		if len(limits) == 0 {
			return policy.Allowed, allowed[0]
		}
		return policy.Narrowed, allowed[0]
	case len(failed) > 0:
		return policy.ConditionFailed, failed[0]
	}
	return policy.NoRule, ""
}

func naiveActions(source policy.Source, rule policy.Rule) scope.Actions {
	all := rule.Actions | source.Roles[rule.Role].Actions
	switch naiveType(rule.Type) {
	case "repository":
		return all & (scope.Pull | scope.Push | scope.Delete)
	case "registry":
		return all & scope.All
	case "tidewaiter":
		return all & (scope.Read | scope.Write)
	}
	return all &^ (scope.Read | scope.Write)
}

func naiveHolds(rule policy.Rule, r *policy.Request) (bool, error) {
	if rule.When == nil {
		return true, nil
	}
	return rule.When.Holds(r)
}

func naiveMatches(rule policy.Rule, r *policy.Request, asked scope.Scope) bool {
	if naiveType(rule.Type) != naiveType(asked.Type) {
		return false
	}
	unknown := r.Registry == "" && rule.Deny // any deny rule for a registry may apply
	if len(rule.Registries) > 0 && !naiveIn(rule.Registries, r.Registry) && !unknown {
		return false
	}
	subjects := false
	for _, s := range naiveSubjects(r.Principal) {
		subjects = subjects || naiveIn(rule.Subjects, s)
	}
	return subjects && naiveAny(rule.Names, asked.Name, r.Principal)
}

func naiveType(t string) string {
	if t == "" {
		return "repository"
	}
	return t
}

func naiveIn(list []string, s string) bool {
	for _, other := range list {
		if other == s {
			return true
		}
	}
	return false
}

func naiveSubjects(who *policy.Principal) []string {
	if who.Kind == policy.Anonymous {
		return []string{"anyone", "anonymous"}
	}
	subjects := []string{"anyone", "signed-in", who.Kind.String() + ":" + who.Name}
	for _, g := range who.Groups {
		subjects = append(subjects, "group:"+g)
	}
	return subjects
}

func naiveAny(patterns []string, name string, who *policy.Principal) bool {
	for _, p := range patterns {
		if naiveName(p, name, who) {
			return true
		}
	}
	return false
}

// naiveName matches a pattern with a name. Names have no empty parts.
func naiveName(pattern, name string, who *policy.Principal) bool {
	parts := strings.Split(name, "/")
	return !naiveIn(parts, "") && naiveMatch(strings.Split(pattern, "/"), parts, who)
}

// naiveMatch matches a pattern part by part, and tries every number of parts that ** can match
// and every value of a claim.
func naiveMatch(pattern, name []string, who *policy.Principal) bool {
	if len(pattern) == 0 {
		return len(name) == 0
	}
	switch p := pattern[0]; {
	case p == "**" && len(pattern) == 1:
		return len(name) > 0
	case p == "**":
		for i := 0; i <= len(name); i++ {
			if naiveMatch(pattern[1:], name[i:], who) {
				return true
			}
		}
		return false
	case strings.HasPrefix(p, "${claims."):
		if who.Kind == policy.Anonymous {
			return false
		}
		claim := strings.TrimSuffix(strings.TrimPrefix(p, "${claims."), "}")
		values := naiveTexts(who.Claims[claim])
		switch v := who.Claims[claim].(type) {
		case []string:
			values = v
		case []any:
			for _, one := range v {
				values = append(values, naiveTexts(one)...)
			}
		}
		for _, v := range values {
			parts := strings.Split(v, "/")
			if naiveLegal(parts) && len(parts) <= len(name) && strings.Join(name[:len(parts)], "/") == v &&
				naiveMatch(pattern[1:], name[len(parts):], who) {
				return true
			}
		}
		return false
	case len(name) == 0:
		return false
	case p == "${group}":
		return who.Kind != policy.Anonymous && naiveIn(who.Groups, name[0]) && naiveLegal([]string{name[0]}) && naiveMatch(pattern[1:], name[1:], who)
	case p == "${user}":
		return who.Kind == policy.User && naiveLegal([]string{who.Name}) && name[0] == who.Name && naiveMatch(pattern[1:], name[1:], who)
	}
	return naivePart(pattern[0], name[0]) && naiveMatch(pattern[1:], name[1:], who)
}

// naiveTexts returns the text of the claim value v, which is compared with a path part. v can be a
// string, true, false or a number with few digits. Other values have no text.
func naiveTexts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{fmt.Sprint(v)}
	case int, json.Number, float64:
		f, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
		return []string{fmt.Sprint(f)}
	}
	return nil
}

func naivePart(glob, part string) bool {
	switch {
	case glob == "":
		return part == ""
	case glob[0] == '*':
		return naivePart(glob[1:], part) || part != "" && naivePart(glob, part[1:])
	}
	return part != "" && glob[0] == part[0] && naivePart(glob[1:], part[1:])
}

// naiveLegal reports whether the parser of scopes accepts the repository.
func naiveLegal(parts []string) bool {
	for _, p := range parts {
		if p == "" || strings.ContainsAny(p, ":[ /") {
			return false
		}
		asked, ignored, err := scope.Parse([]string{"repository:x/" + p + ":pull"})
		if err != nil || len(asked) != 1 || len(ignored) > 0 {
			return false
		}
	}
	return true
}
