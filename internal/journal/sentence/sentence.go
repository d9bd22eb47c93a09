// Package sentence describes changes that administrators made, in one sentence for people: "bob
// joined group ops".
package sentence

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/text"
)

// Limits of a sentence: the bytes of one word, the names of one list, and the bytes of the whole
// sentence.
const (
	maxWord     = 128
	maxListed   = 5
	maxSentence = 2 << 10
)

// sentences has the sentence about each action. {key} is a value of change.to, {from.key} is a
// value of change.from, and {target} is the target. A part in brackets is left out if one of its
// values is missing, zero or false. Values are escaped words. {rule} and {from.rule} are described
// by describeRule, and {changes} lists how from and to differ.
var sentences = map[string]string{
	"user.add":      "user {target} added[, in groups {groups}][, until {expires}]",
	"user.enable":   "user {target} enabled",
	"user.disable":  "user {target} disabled[, sessions ended: {sessions_ended}][, refresh tokens revoked: {refresh_revoked}]",
	"user.expiry":   "expiry of user {target} changed from {from.expires} to {expires}",
	"user.password": "password of user {target} set[, sessions ended: {sessions_ended}][, refresh tokens revoked: {refresh_revoked}]",
	"user.rehash":   "stored password hash of user {target} changed from {from.password} to {password}",
	"user.allow":    "user {target} may sign in from {from} while sign-ins are rate limited",
	"user.delete":   "user {target} deleted[, was in groups {from.groups}][, tokens revoked: {from.tokens}]",
	"robot.add":     "{target} added[, in groups {groups}][, until {expires}]",
	"robot.enable":  "{target} enabled",
	"robot.disable": "{target} disabled[, sessions ended: {sessions_ended}][, refresh tokens revoked: {refresh_revoked}]",
	"robot.expiry":  "expiry of {target} changed from {from.expires} to {expires}",
	"robot.rotate":  "secret of {target} replaced[, the previous one is valid until {until}][, secrets revoked: {revoked}]",
	"robot.again":   "secret of the new {target} issued again",
	"robot.revoke":  "secret of {target} revoked",
	"robot.delete":  "{target} deleted[, was in groups {from.groups}][, tokens revoked: {from.tokens}]",
	"setup.offer":   "setup secret issued, until {expires}",

	"group.add":    "group {target} added",
	"group.join":   "{member} joined group {target}",
	"group.leave":  "{member} left group {target}",
	"group.delete": "group {target} deleted[, with members: {from.members}]",

	"token.add":        "access token {name} issued for {target}[, until {expires}][, restricted to {limits}]",
	"token.revoke-all": "tokens of {target} revoked: {from.revoked}[, of the kind {from.use}]",
	"access.again":     "access token {name} issued again for {target}[, until {expires}]",
	"access.revoke":    "access token {from.name} of {target} revoked",
	"refresh.add":      "refresh token issued for {target}[ at {registry}][, for the client {client}][, until {expires}][, older ones revoked: {from.revoked}]",
	"refresh.again":    "refresh token issued again for {target}",
	"refresh.revoke":   "refresh token of {target} revoked[, of the client {from.client}]",
	"session.add":      "session of {target} started[, until {expires}][, older ones ended: {from.revoked}]",
	"session.again":    "session of {target} started again",
	"session.revoke":   "session of {target} ended",

	"role.add":              "role {target} added with {actions}[, tokens for at most {lifetime}]",
	"role.set":              "role {target} changed: {changes}",
	"role.delete":           "role {target} deleted, with {from.actions}",
	"rule.add":              "rule {target} added: {rule}",
	"rule.set":              "rule {target} changed: {changes}",
	"rule.delete":           "rule {target} deleted: {from.rule}",
	"namespace.add":         "namespace {target} added, {visibility}[, with owners {owners}]",
	"namespace.set":         "visibility of namespace {target} changed from {from.visibility} to {visibility}",
	"namespace.delete":      "namespace {target} deleted[, with members: {from.members}]",
	"namespace.role.add":    "role {role} of namespace {target} added with {actions}[, tokens for at most {lifetime}]",
	"namespace.role.set":    "role {role} of namespace {target} changed: {changes}",
	"namespace.role.delete": "role {from.role} of namespace {target} deleted, with {from.actions}",
	// The sentence about a member who already had a role is namespaceRoleChanged.
	"namespace.member.set":    "{member} joined namespace {target} as {role}",
	"namespace.member.remove": "{from.member} left namespace {target}, was {from.role}",

	"webhook.enable":  "webhook {target} switched on",
	"webhook.disable": "webhook {target} switched off",
	"webhook.resend":  "entries since {since} are sent to webhook {target} again",

	"policy.load": "rules of {target} came into force[, {rules} in all][, added {added}][, changed {changed}][, removed {removed}]" +
		"[, roles added {roles_added}][, roles changed {roles_changed}][, roles removed {roles_removed}][, {reordered}]",
	"policy.refuse":     "{target} did not come into force[: {problems}]",
	"catalog.delete":    "manifest {target} deleted[, with the tags {from.tags}]",
	"catalog.rollback":  "tag {target} set back to {digest}[, had {from.digest}]",
	"catalog.reconcile": "registry {target} compared with the catalog[, repositories: {repositories}][, tags: {tags}][, differences: {differences}][, failed requests: {failed}][, {unfinished}]",

	"journal.lost":    "entries lost: {entries}",
	"journal.key":     "a new key signs the journal's checkpoints: {key}",
	"journal.remove":  "entries removed by retention: {kinds}",
	"journal.rewound": "entries missing, because an older copy of the database was restored: {entries}",
}

const namespaceRoleChanged = "role of {member} in namespace {target} changed from {from.role} to {role}"

// change is a journal.Change without its actor. A sentence describes one change.
type change struct {
	action, target string
	from, to       map[string]any
}

// Append appends the sentence about a change. The arguments are the fields of a journal.Change.
// The change can be new, or can come from the journal. If a newer version of Tidewaiter wrote the
// change, its action can have no sentence. Append then appends nothing.
func Append(b []byte, action, target string, from, to map[string]any) []byte {
	c := change{action, target, from, to}
	sentence := sentences[action]
	if action == "namespace.member.set" && from["role"] != nil {
		sentence = namespaceRoleChanged
	}
	return append(b, text.Shorten(string(c.appendSentence(nil, sentence)), maxSentence)...)
}

// appendSentence appends one of the sentences, with the values of the change.
func (c *change) appendSentence(b []byte, sentence string) []byte {
	for sentence != "" {
		plain, rest, optional := strings.Cut(sentence, "[")
		b, _ = c.appendPart(b, plain)
		if !optional {
			break
		}
		part, after, _ := strings.Cut(rest, "]")
		before := len(b)
		complete := false
		if b, complete = c.appendPart(b, part); !complete {
			b = b[:before]
		}
		sentence = after
	}
	return b
}

// appendPart appends a part of a sentence. It also reports whether the change has all values of
// the part.
func (c *change) appendPart(b []byte, part string) (_ []byte, complete bool) {
	complete = true
	for {
		plain, rest, more := strings.Cut(part, "{")
		b = append(b, plain...)
		if !more {
			return b, complete
		}
		key, after, _ := strings.Cut(rest, "}")
		value := c.value(key)
		complete = complete && value != ""
		b = append(b, cmp.Or(value, `""`)...)
		part = after
	}
}

// value returns a value of a sentence as escaped words; "" if it is missing, zero or false.
func (c *change) value(key string) string {
	from, isFrom := strings.CutPrefix(key, "from.")
	switch {
	case key == "target":
		return words(c.target)
	case key == "changes":
		return differences(ruleOf(c.from), ruleOf(c.to))
	case key == "reordered" && c.to[key] == true:
		return "in another order"
	case key == "unfinished" && c.to["complete"] == false:
		return "not complete"
	case key == "kinds":
		return removals(c.to)
	case key == "rule":
		return describeRule(ruleOf(c.to))
	case isFrom && from == "rule":
		return describeRule(ruleOf(c.from))
	case isFrom:
		return words(c.from[from])
	}
	return words(c.to[key])
}

// words returns a value of a change as escaped words, or "" for a missing value, zero and false.
// The value comes from a caller or from a block, so it can have different types.
func words(v any) string {
	if list, ok := texts(v); ok {
		return listed(list)
	}
	switch s := fmt.Sprint(v); s {
	case "", "0", "false", "<nil>":
		return ""
	default:
		return string(text.AppendWord(nil, s, maxWord))
	}
}

// texts returns the items of a list.
func texts(v any) (list []string, ok bool) {
	switch v := v.(type) {
	case []string:
		return v, true
	case []any:
		for _, item := range v {
			list = append(list, fmt.Sprint(item))
		}
		return list, true
	}
	return nil, false
}

func listed(names []string) string {
	var b []byte
	for i, name := range names[:min(len(names), maxListed)] {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = text.AppendWord(b, name, maxWord)
	}
	if more := len(names) - maxListed; more > 0 {
		b = fmt.Appendf(b, " and %d more", more)
	}
	return string(b)
}

// removals lists how many entries of each kind were removed.
func removals(kinds map[string]any) string {
	var all []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if of, ok := kinds[kind].(map[string]any); ok {
			all = append(all, fmt.Sprintf("%s %s before %s", words(of["entries"]), words(kind), words(of["before"])))
		}
	}
	return strings.Join(all, ", ")
}

// ruleOf returns the rule in one side of a change. For a role, the side itself is the role.
func ruleOf(side map[string]any) map[string]any {
	if rule, ok := side["rule"].(map[string]any); ok {
		return rule
	}
	return side
}

// describeRule describes a rule, such as "allow pull, push on team/** for group:devs".
func describeRule(rule map[string]any) string {
	b := []byte(fieldWords(rule, "effect"))
	for _, part := range [...]struct{ before, key string }{
		{" ", "actions"}, {" role ", "role"}, {" on ", "repositories"}, {" on tidewaiter:", "tidewaiter"}, {" on ", "catalog"},
		{" for ", "subjects"}, {" at ", "registries"}, {" if ", "when"}, {", tokens for at most ", "lifetime"},
	} {
		if value := fieldWords(rule, part.key); value != "" {
			b = append(append(b, part.before...), value...)
		}
	}
	return string(b)
}

// ruleFields are the fields of rules and roles, in the order in which differences are listed.
var ruleFields = [...]string{
	"name", "effect", "subjects", "registries", "repositories", "catalog", "tidewaiter", "role", "actions", "when", "lifetime", "comment",
}

// fieldWords returns words for a field of a rule or a role. If the field is missing, it returns
// the field's default.
func fieldWords(rule map[string]any, key string) string {
	value := rule[key]
	switch key {
	case "effect":
		return cmp.Or(words(value), "allow")
	case "subjects":
		return cmp.Or(words(value), "anyone")
	case "catalog":
		if value == true {
			return "the catalog"
		}
	case "lifetime": // rules have it in nanoseconds
		if n, err := strconv.ParseInt(fmt.Sprint(value), 10, 64); err == nil {
			value = text.Duration(time.Duration(n))
		}
	}
	return words(value)
}

// differences lists how two rules or two roles differ, such as "effect from allow to deny;
// subjects: added user:bob, removed user:ann".
func differences(from, to map[string]any) string {
	var all []string
	for _, key := range ruleFields {
		before, isList := texts(from[key])
		after, isListNow := texts(to[key])
		was, is := fieldWords(from, key), fieldWords(to, key)
		switch {
		case isList && isListNow:
			if d := listDifference(before, after); d != "" {
				all = append(all, key+": "+d)
			}
		// Two long values can differ only in the part that is cut off. A missing effect means
		// "allow".
		case was != is || key != "effect" && fmt.Sprint(from[key]) != fmt.Sprint(to[key]):
			all = append(all, fmt.Sprintf("%s from %s to %s", key, cmp.Or(was, "none"), cmp.Or(is, "none")))
		}
	}
	return strings.Join(all, "; ")
}

func listDifference(before, after []string) string {
	var parts []string
	for _, side := range [...]struct {
		verb     string
		of, than []string
	}{{"added ", after, before}, {"removed ", before, after}} {
		more := slices.DeleteFunc(slices.Clone(side.of), func(s string) bool { return slices.Contains(side.than, s) })
		if len(more) > 0 {
			parts = append(parts, side.verb+listed(more))
		}
	}
	if len(parts) == 0 && !slices.Equal(before, after) {
		return "another order"
	}
	return strings.Join(parts, ", ")
}
