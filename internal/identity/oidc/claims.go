package oidc

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// claim is a reference to a claim: its name, or a JSON pointer (RFC 6901) to a nested claim,
// such as /kubernetes.io/namespace.
type claim struct {
	text string
	path []string
}

func parseClaim(written string) (claim, error) {
	switch {
	case written == "" || written == "/" || strings.HasSuffix(written, "/"):
		return claim{}, errors.New("the claim has no name")
	case strings.ContainsAny(written, "{}") || strings.TrimSpace(written) != written || !text.Printable(written):
		return claim{}, fmt.Errorf("%q is not a valid claim name", written)
	case written[0] != '/':
		return claim{written, []string{written}}, nil
	}
	path := strings.Split(written[1:], "/")
	for i, step := range path {
		path[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
	}
	return claim{written, path}, nil
}

// valueIn returns the value of the claim, or nil if it is absent.
func (c claim) valueIn(claims map[string]any) any {
	var v any = claims
	for _, step := range c.path {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[step]
	}
	return v
}

// pathProblem returns a problem if a part of the claim's path is present but is not an object. In
// this case, the claim cannot exist. Otherwise pathProblem returns "", whether the claim is
// present or absent.
func (c claim) pathProblem(claims map[string]any) string {
	var v any = claims
	for i, step := range c.path {
		if v == nil {
			return ""
		}
		object, ok := v.(map[string]any)
		if !ok {
			return fmt.Sprintf("the claim %s cannot be read: %s is not an object", c.text, strings.Join(c.path[:i], "/"))
		}
		v = object[step]
	}
	return ""
}

// texts returns the value as strings: one string, or the elements of a list. It returns no
// strings for an object.
func (c claim) texts(claims map[string]any) (texts []string, list bool) {
	v := c.valueIn(claims)
	many, list := v.([]any)
	if !list {
		many = []any{v}
	}
	for _, one := range many {
		text, ok := asText(one)
		if !ok {
			return nil, list
		}
		texts = append(texts, text)
	}
	return texts, list
}

// members returns the value as group names. If the value is an object, its keys are the group
// names. For example, Zitadel writes the role admin as {"admin": {"4711": "acme.example.com"}}.
func (c claim) members(claims map[string]any) (texts []string, list bool) {
	if object, ok := c.valueIn(claims).(map[string]any); ok {
		return slices.Sorted(maps.Keys(object)), true
	}
	return c.texts(claims)
}

// asText formats a claim for a name, a group or an id. Equal numbers give equal texts.
func asText(v any) (string, bool) { return policy.ClaimText(v) }

// condition is a requirement on a claim.
type condition struct {
	claim    claim
	patterns []*regexp.Regexp
}

// glob compiles a pattern. * matches any text without a slash, and ** matches any text. All other
// characters are literal. Go's regexp needs linear time for any pattern.
func glob(pattern string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A(?s:`)
	for rest := pattern; rest != ""; {
		before, after, found := strings.Cut(rest, "*")
		b.WriteString(regexp.QuoteMeta(before))
		rest = after
		switch {
		case found && strings.HasPrefix(after, "*"):
			b.WriteString(".*")
			rest = after[1:]
		case found:
			b.WriteString("[^/]*")
		}
	}
	b.WriteString(`)\z`)
	return regexp.MustCompile(b.String())
}

// conditions checks the requirements. An absent claim matches no pattern, not even *. For a
// list, one element must match.
func (p *Provider) conditions(claims map[string]any) error {
	for _, c := range p.required {
		texts, _ := c.claim.texts(claims)
		if !slices.ContainsFunc(texts, func(text string) bool {
			return slices.ContainsFunc(c.patterns, func(p *regexp.Regexp) bool { return p.MatchString(text) })
		}) {
			was := "missing"
			if len(texts) > 0 {
				was = fmt.Sprintf("%q", shorten(strings.Join(texts, ", ")))
			}
			refused := refuse(claims, "the claim %s does not meet the requirement: it is %s", c.claim.text, was)
			if subject, _ := claims["sub"].(string); subject != "" && text.OneLine(subject) {
				refused.person, _ = p.identify(claims, subject)
			}
			return refused
		}
	}
	return nil
}

// principal builds the principal from verified claims.
func (p *Provider) principal(claims map[string]any) (*policy.Principal, error) {
	kept, why := p.keptClaims(claims)
	if why != "" {
		return nil, refuseIncomplete(claims, &identity.IncompleteError{Claims: true, Reason: why})
	}
	subject, _ := claims["sub"].(string)
	if subject == "" || !text.OneLine(subject) {
		return nil, refuse(claims, "it has no valid sub")
	}
	names, missing := p.name.expand(claims, claim.texts)
	switch {
	case missing != "":
		return nil, refuse(claims, "its name %s needs the claim %s, which is missing", p.o.Principal, missing)
	case len(names) != 1:
		return nil, refuse(claims, "its name %s yields %d names instead of one", p.o.Principal, len(names))
	}
	if why := username.Problem(names[0]); why != "" {
		return nil, refuse(claims, "its name %s cannot be used: it %s", p.o.Principal, why)
	}
	if p.name.contains("email") {
		if verified, _ := asText(claims["email_verified"]); verified != "true" {
			return nil, refuse(claims, "its email is used in its name but is not verified")
		}
	}
	id, why := p.identify(claims, subject)
	if why != "" {
		return nil, refuse(claims, "%s", why)
	}
	who := &policy.Principal{Kind: p.o.Kind, Name: names[0], Source: p.source, ID: id, Claims: kept}
	var reason string
	if who.Groups, reason = p.groupsOf(claims); reason != "" {
		return nil, refuseIncomplete(claims, identity.Incomplete("%s", reason))
	}
	return who.Indexed(), nil
}

// identify returns an id that is never reused. The id consists of issuer, subject, and the number
// that the issuer assigns to an object if the object's name can be reused. If the number is
// present but unreadable, identify returns the reason, because an id without the number could be
// the id of another user.
func (p *Provider) identify(claims map[string]any, subject string) (id, problem string) {
	id = p.o.Issuer + "#" + strings.NewReplacer("%", "%25", "#", "%23").Replace(subject)
	if p.number.text == "" {
		return id, ""
	}
	if why := p.number.pathProblem(claims); why != "" {
		return "", why
	}
	v := p.number.valueIn(claims)
	if v == nil {
		return id, ""
	}
	number, ok := asText(v)
	if !ok || !text.OneLine(number) {
		return "", fmt.Sprintf("its claim %s is not a valid text", p.number.text)
	}
	return id + "#" + number, ""
}

// keptClaims returns the claims that rules can use. Each claim keeps its type from the token, so
// that a rule can distinguish 1 from "1". If a claim cannot be kept, the second result names the
// claim and the reason, and the token is refused. Without the claim, a deny rule that tests
// has(claims.x) would not apply, and users can choose some values, such as branch names.
func (p *Provider) keptClaims(claims map[string]any) (kept map[string]any, problem string) {
	found := make(map[string]any, len(p.kept))
	for name, c := range p.kept {
		if why := c.incompleteReason(claims); why != "" {
			return nil, why
		}
		v := c.valueIn(claims)
		if !allReadable(v) {
			return nil, fmt.Sprintf("%s contains an unprintable character or a line break", c.text)
		}
		found[name] = v
	}
	kept, bad := policy.CanonicalClaims(found)
	if bad != "" {
		return nil, bad + " contains a number that is out of range"
	}
	return kept, ""
}

// allReadable reports whether all strings in a value are a single line of readable text.
func allReadable(v any) bool {
	switch v := v.(type) {
	case string:
		return text.OneLine(v)
	case []any:
		return !slices.ContainsFunc(v, func(one any) bool { return !allReadable(one) })
	case map[string]any:
		for key, one := range v {
			if !text.OneLine(key) || !allReadable(one) {
				return false
			}
		}
	}
	return true
}

// refuse returns a refusal of a token with a valid signature. The owner of such a token gets the
// reason.
func refuse(claims map[string]any, format string, args ...any) *refusal {
	subject, _ := claims["sub"].(string)
	return &refusal{reason: fmt.Sprintf(format, args...), subject: shorten(subject), signed: true}
}

// refuseIncomplete returns a refusal because groups or claims are not known.
func refuseIncomplete(claims map[string]any, why error) *refusal {
	refused := refuse(claims, "%s", why)
	refused.incomplete = why
	return refused
}
