package oidc

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// claim names a claim: by its name, or, if it begins with a slash, by a JSON pointer (RFC 6901) to
// one that is inside another: /kubernetes.io/namespace.
type claim struct {
	text string
	path []string
}

func parseClaim(written string) (claim, error) {
	switch {
	case written == "" || written == "/" || strings.HasSuffix(written, "/"):
		return claim{}, errors.New("the claim has no name")
	case strings.ContainsAny(written, "{}") || strings.TrimSpace(written) != written || !text.Printable(written):
		return claim{}, fmt.Errorf("%q is no name of a claim", written)
	case written[0] != '/':
		return claim{written, []string{written}}, nil
	}
	path := strings.Split(written[1:], "/")
	for i, step := range path {
		path[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
	}
	return claim{written, path}, nil
}

// of returns the claim's value; nil if it is not there.
func (c claim) of(claims map[string]any) any {
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

// pathProblem says why the claim cannot stand where its path says: something on the way is there,
// and is no object. That is another thing than a claim that is left out; "" if it is not so.
func (c claim) pathProblem(claims map[string]any) string {
	var v any = claims
	for i, step := range c.path {
		if v == nil {
			return ""
		}
		object, ok := v.(map[string]any)
		if !ok {
			return fmt.Sprintf("the claim %s is not where it should be: %s is no object", c.text, strings.Join(c.path[:i], "/"))
		}
		v = object[step]
	}
	return ""
}

// texts returns a claim's value as texts: one, or those of a list. Objects are none.
func (c claim) texts(claims map[string]any) (texts []string, list bool) {
	v := c.of(claims)
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

// members is texts of a claim that groups are made of. Of an object they are its keys: Zitadel
// writes roles as {"admin": {"4711": "acme.example.com"}}.
func (c claim) members(claims map[string]any) (texts []string, list bool) {
	if object, ok := c.of(claims).(map[string]any); ok {
		return slices.Sorted(maps.Keys(object)), true
	}
	return c.texts(claims)
}

// asText is what a claim is in a name, a group or an id. Equal numbers are the same there, however
// they are written.
func asText(v any) (string, bool) { return policy.ClaimText(v) }

// condition is what a claim must be like.
type condition struct {
	claim    claim
	patterns []*regexp.Regexp
}

// glob compiles a pattern: * is any text without a slash, ** any text. All else is taken as it is
// written. Go's expressions take time in proportion to the text, whatever the pattern.
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

// conditions checks what is required. A claim that is missing meets no pattern, not even *; of a
// list, one element must.
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
			refused := no(claims, "the claim %s is not as required: it is %s", c.claim.text, was)
			if subject, _ := claims["sub"].(string); subject != "" && text.OneLine(subject) {
				refused.person, _ = p.identify(claims, subject)
			}
			return refused
		}
	}
	return nil
}

// principal makes a principal of verified claims.
func (p *Provider) principal(claims map[string]any) (*policy.Principal, error) {
	kept, why := p.keptClaims(claims)
	if why != "" {
		return nil, incomplete(claims, identity.IncompleteClaims("%s", why))
	}
	subject, _ := claims["sub"].(string)
	if subject == "" || !text.OneLine(subject) {
		return nil, no(claims, "it has no sub that could be read")
	}
	names, missing := p.name.expand(claims, claim.texts)
	switch {
	case missing != "":
		return nil, no(claims, "its name %s lacks the claim %s", p.o.Principal, missing)
	case len(names) != 1:
		return nil, no(claims, "its name %s comes to %d names, and must come to one", p.o.Principal, len(names))
	}
	if why := nameProblem(names[0]); why != "" {
		return nil, no(claims, "its name %s cannot be used: %s", p.o.Principal, why)
	}
	if p.name.uses("email") {
		if verified, _ := asText(claims["email_verified"]); verified != "true" {
			return nil, no(claims, "its email is not verified, and would be its name")
		}
	}
	id, why := p.identify(claims, subject)
	if why != "" {
		return nil, no(claims, "%s", why)
	}
	who := &policy.Principal{Kind: p.o.Kind, Name: names[0], Source: p.source, ID: id, Claims: kept}
	var reason string
	if who.Groups, reason = p.groupsOf(claims); reason != "" {
		return nil, incomplete(claims, identity.Incomplete("%s", reason))
	}
	return who.Indexed(), nil
}

// identify makes an id that nobody else ever has: issuer and subject, and where the issuer gives
// away names again, its own number for what has the name. A number that is there and cannot be
// read must not be left out: somebody else could have the id without it. Why says so.
func (p *Provider) identify(claims map[string]any, subject string) (id, why string) {
	id = p.o.Issuer + "#" + strings.NewReplacer("%", "%25", "#", "%23").Replace(subject)
	if p.number.text == "" {
		return id, ""
	}
	if why := p.number.pathProblem(claims); why != "" {
		return "", why
	}
	v := p.number.of(claims)
	if v == nil {
		return id, ""
	}
	number, ok := asText(v)
	if !ok || !text.OneLine(number) {
		return "", fmt.Sprintf("its claim %s is no text that could be read", p.number.text)
	}
	return id + "#" + number, ""
}

// keptClaims returns the claims that are kept, with the types that they have in the token: a rule can
// tell 1 from "1". A claim that cannot be kept as it is must not be left out, since a deny that
// asks has(claims.x) first would be skipped, and who pushes a branch may choose what is in its
// name. Why names it.
func (p *Provider) keptClaims(claims map[string]any) (kept map[string]any, why string) {
	found := make(map[string]any, len(p.kept))
	for name, c := range p.kept {
		if why := c.incompleteReason(claims); why != "" {
			return nil, why
		}
		v := c.of(claims)
		if !allReadable(v) {
			return nil, fmt.Sprintf("%s has a character in it that cannot be read, or a line end", c.text)
		}
		found[name] = v
	}
	kept, bad := policy.CanonicalClaims(found)
	if bad != "" {
		return nil, bad + " has a number in it that is out of range"
	}
	return kept, ""
}

// allReadable says whether all texts in a value are readable.
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

// no refuses a token whose signature is good, so that its holder may know why.
func no(claims map[string]any, format string, args ...any) *refusal {
	subject, _ := claims["sub"].(string)
	return &refusal{reason: fmt.Sprintf(format, args...), subject: shorten(subject), signed: true}
}

// incomplete is a refusal whose reason the holder is told.
func incomplete(claims map[string]any, why error) *refusal {
	refused := no(claims, "%s", why)
	refused.incomplete = why
	return refused
}

// nameProblem says why a text can be no name, since it looks like another or does not fit; "" if it
// can.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > identity.MaxName:
		return fmt.Sprintf("it has %d bytes, and a name has %d at most", len(name), identity.MaxName)
	case strings.TrimSpace(name) != name:
		return "it begins or ends with a blank"
	case !text.Printable(name):
		return "it has a character that cannot be seen"
	}
	return ""
}
