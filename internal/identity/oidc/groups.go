package oidc

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Issuers leave groups out of a token when there are too many of them, and each says so in its own
// way. Taking that for no groups would skip every deny that is for one of them.
const (
	// claimNames is where claims stand that are not in the token (OpenID Connect Core, section 5.6.2; Entra ID, above
	// 200 groups): {"groups": "src1"}.
	claimNames = "_claim_names"
	// hasGroups is true in place of the groups where a token has little room (Entra ID, implicit
	// flow, above 5).
	hasGroups = "hasgroups"
	// groupsDirect is left out of GitLab's tokens above 200 groups, and is an empty list where
	// there are none.
	groupsDirect = "groups_direct"
)

// groupsOf returns the groups that claims put somebody into, sorted, each once; or the reason why
// they are not all known.
func (p *Provider) groupsOf(claims map[string]any) (groups []string, incomplete string) {
	for _, t := range p.groups {
		if reason := t.incompleteReason(claims); reason != "" {
			return nil, reason
		}
		names, _ := t.expand(claims, claim.members)
		for _, name := range names {
			// Those that no rule can name are kept for conditions; those that cannot be kept are
			// not left out.
			switch {
			case len(name) > identity.MaxName:
				return nil, fmt.Sprintf("the group %q can be no name: it has %d bytes, and a name has %d at most", shorten(name), len(name), identity.MaxName)
			case name == "" || !text.OneLine(name):
				return nil, fmt.Sprintf("the group %q can be no name: it has a character that cannot be read", shorten(name))
			}
			groups = append(groups, name)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), ""
}

// incompleteReason says why the template cannot come to all groups; "" if nothing speaks against it. A
// claim that is simply not there is no reason: most issuers leave it out for people without
// groups.
func (t template) incompleteReason(claims map[string]any) string {
	lists := 0
	for i, piece := range t.pieces {
		if reason := piece.claim.incompleteReason(claims); reason != "" {
			return reason
		}
		switch v := piece.claim.of(claims).(type) {
		case nil, string, bool, json.Number:
		case []any:
			lists++
			if slices.ContainsFunc(v, func(one any) bool { _, ok := asText(one); return !ok }) {
				return fmt.Sprintf("the claim %s is a list of other things than texts", piece.claim.text)
			}
		case map[string]any:
			lists++
			for _, of := range v {
				_, isObject := of.(map[string]any)
				if !isObject && of != true { // false may mean that somebody is not in the group
					return fmt.Sprintf("the claim %s is an object, whose keys would be groups, and their values are neither objects nor true", piece.claim.text)
				}
			}
		}
		if i+1 < len(t.pieces) {
			stop := t.pieces[i+1].before[:1]
			if texts, _ := piece.claim.members(claims); slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, stop) }) {
				return fmt.Sprintf("a value of the claim %s has %q in it, with which the template goes on", piece.claim.text, stop)
			}
		}
	}
	if lists > 1 {
		return "several claims of one group are lists"
	}
	return ""
}

// incompleteReason says why the token may leave out the claim, or a part of it; "" if nothing speaks for
// that.
func (c claim) incompleteReason(claims map[string]any) string {
	if why := c.pathProblem(claims); why != "" {
		return why
	}
	elsewhere, there := claims[claimNames]
	names, isObject := elsewhere.(map[string]any)
	if there && elsewhere != nil && !isObject {
		return fmt.Sprintf("the claim %s is no object", claimNames)
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
	v := c.of(claims)
	list, _ := v.([]any)
	switch {
	case (v == nil || list != nil && len(list) == 0) && top == "groups" && truthy(claims[hasGroups]):
		return fmt.Sprintf("the token leaves out %s, because there are too many of them (%s)", top, hasGroups)
	case v == nil && top == groupsDirect:
		return fmt.Sprintf("the token leaves out %s: GitLab does so above 200 groups", top)
	}
	return ""
}

// truthy says whether a claim is there and is not false.
func truthy(v any) bool {
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
