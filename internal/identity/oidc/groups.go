package oidc

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// If there are too many groups, issuers leave groups out of a token, each issuer in a different
// way. If a token without its groups were treated as a token of a user without groups, deny rules
// for these groups would not apply.
const (
	// claimNames refers to claims that are not in the token: {"groups": "src1"} (OpenID Connect
	// Core, section 5.6.2). Entra ID uses _claim_names above 200 groups.
	claimNames = "_claim_names"
	// hasGroups is true in a token that has no space for the list of groups (Entra ID, implicit
	// flow, above 5 groups).
	hasGroups = "hasgroups"
	// groupsDirect is absent from GitLab's tokens above 200 groups. It is an empty list if the
	// user has no groups.
	groupsDirect = "groups_direct"
)

// groupsOf returns the groups of the claims, sorted and without duplicates, or the reason why some
// groups are possibly missing.
func (p *Provider) groupsOf(claims map[string]any) (groups []string, incomplete string) {
	for _, t := range p.groups {
		if reason := t.incompleteReason(claims); reason != "" {
			return nil, reason
		}
		names, _ := t.expand(claims, claim.members)
		for _, name := range names {
			// A name that cannot be in a subject of a rule is kept, because conditions can use
			// it. If a name cannot be kept, the token is refused.
			switch {
			case len(name) > username.MaxLength:
				return nil, fmt.Sprintf("the group %q cannot be used: it has %d bytes, and the limit is %d", shorten(name), len(name), username.MaxLength)
			case name == "" || !text.OneLine(name):
				return nil, fmt.Sprintf("the group %q cannot be used: it contains an unprintable character", shorten(name))
			}
			groups = append(groups, name)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), ""
}

// incompleteReason returns a reason why the template possibly yields only some of the groups, or
// "". An absent claim is not a reason, because most issuers leave the claim out for users without
// groups.
func (t template) incompleteReason(claims map[string]any) string {
	lists := 0
	for i, piece := range t.pieces {
		if reason := piece.claim.incompleteReason(claims); reason != "" {
			return reason
		}
		switch v := piece.claim.valueIn(claims).(type) {
		case nil, string, bool, json.Number:
		case []any:
			lists++
			if slices.ContainsFunc(v, func(one any) bool { _, ok := asText(one); return !ok }) {
				return fmt.Sprintf("the claim %s is a list with elements that are not strings", piece.claim.text)
			}
		case map[string]any:
			lists++
			for _, of := range v {
				_, isObject := of.(map[string]any)
				if !isObject && of != true { // false can mean: not a member
					return fmt.Sprintf("the claim %s is an object whose keys would be groups, but each of its values must be an object or true", piece.claim.text)
				}
			}
		}
		if i+1 < len(t.pieces) {
			stop := t.pieces[i+1].before[:1]
			if texts, _ := piece.claim.members(claims); slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, stop) }) {
				return fmt.Sprintf("a value of the claim %s contains %q, which separates it from the rest of the template", piece.claim.text, stop)
			}
		}
	}
	if lists > 1 {
		return "a group template uses several claims that are lists"
	}
	return ""
}

// incompleteReason returns a reason why the issuer possibly left out the claim or a part of it, or
// "".
func (c claim) incompleteReason(claims map[string]any) string {
	if why := c.pathProblem(claims); why != "" {
		return why
	}
	elsewhere, there := claims[claimNames]
	names, isObject := elsewhere.(map[string]any)
	if there && elsewhere != nil && !isObject {
		return fmt.Sprintf("the claim %s is not an object", claimNames)
	}
	top := c.path[0]
	if _, ok := names[top]; ok {
		return fmt.Sprintf("the token leaves out %s, because there are too many of them (%s)", top, claimNames)
	}
	for name := range claims {
		if strings.HasPrefix(name, top+":src") { // Entra ID's implicit flow
			return fmt.Sprintf("the token leaves out %s, because there are too many of them (%s)", top, shorten(name))
		}
	}
	v := c.valueIn(claims)
	list, _ := v.([]any)
	switch {
	case (v == nil || list != nil && len(list) == 0) && top == "groups" && isTruthy(claims[hasGroups]):
		return fmt.Sprintf("the token leaves out %s, because there are too many of them (%s)", top, hasGroups)
	case v == nil && top == groupsDirect:
		return fmt.Sprintf("the token leaves out %s: GitLab does so above 200 groups", top)
	}
	return ""
}

// isTruthy reports whether a claim is present and not false.
func isTruthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != "" && !strings.EqualFold(v, "false")
	}
	return true
}
