// Package sourcename compares the names of identity sources. Some sources had another name before,
// and stored records still contain the earlier name.
package sourcename

import "strings"

// Prefixes of the names of sources that are a service (webhook) or a program (exec) of the
// operator.
const (
	WebhookPrefix = "webhook:"
	ExecPrefix    = "exec:"
)

// formerPrefix was the prefix of both kinds of sources. The database and the journal still contain
// this prefix, because journal blocks are never rewritten.
const formerPrefix = "external:"

// Former returns the name that a source had when webhook and exec were one kind. For
// "webhook:shop" and "exec:shop", Former returns "external:shop". For other sources, it returns
// the given name. Records of a principal are stored under the former or the current name. Both
// names mean the same source, because a config cannot have a webhook and an exec source of the
// same name.
func Former(name string) string {
	for _, prefix := range []string{WebhookPrefix, ExecPrefix} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return formerPrefix + rest
		}
	}
	return name
}

// Same reports whether two names mean the same source. Each of the names can be a
// stored name or the current name.
func Same(a, b string) bool {
	return a == b || Former(a) == b || a == Former(b)
}

// IsHook reports whether a name is the name of a service or of a program of the operator. Identity
// sources and authorizers can have such names.
func IsHook(name string) bool {
	return strings.HasPrefix(name, WebhookPrefix) || strings.HasPrefix(name, ExecPrefix) || strings.HasPrefix(name, formerPrefix)
}
