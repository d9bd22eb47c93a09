package oidc

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/endpoint"
	"github.com/tidewaiter/tidewaiter/internal/identity/setting"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// settings are Options with the defaults filled in, and the values that were parsed from these
// Options.
type settings struct {
	o        Options
	name     template
	groups   []template
	kept     map[string]claim // keyed by the claim's name in rules
	required []condition
	number   claim
	origin   origin
	problems setting.Problems
	warnings setting.Problems // allowed, but probably not intended
}

func (s *settings) problem(field string, item int, format string, args ...any) {
	s.problems.Add(field, item, format, args...)
}

func (s *settings) warn(field string, item int, format string, args ...any) {
	s.warnings.Add(field, item, format, args...)
}

// check sets the defaults and returns all problems.
func (o Options) check() (*settings, setting.Problems) {
	s := &settings{o: o}
	known, ok := presetOf(o.Preset)
	if !ok {
		s.problem("preset", -1, "there is no preset %q", o.Preset)
	}
	s.o.fill(known)
	s.o.Log = cmp.Or(s.o.Log, slog.New(slog.DiscardHandler))
	s.o.Now = clock.Wall(s.o.Now)
	s.o.Kind = cmp.Or(s.o.Kind, policy.Workload)
	if s.o.Name == "" {
		s.problem("name", -1, "missing")
	}
	s.checkTokens()
	s.checkPrincipal(known)
	s.checkRequire()
	s.checkOrigin()
	return s, s.problems
}

func (s *settings) checkTokens() {
	if len(s.o.Audience) == 0 {
		s.problem("audience", -1, "missing: tokens that were issued for another service would be accepted")
	}
	for i, a := range s.o.Audience {
		if a == "" || strings.TrimSpace(a) != a || !text.Printable(a) {
			s.problem("audience", i, "%q is not a valid audience", a)
		}
	}
	for i, a := range s.o.Algorithms {
		if !slices.Contains(Algorithms(), a) {
			s.problem("algorithms", i, "%q is not one of %s", a, strings.Join(Algorithms(), ", "))
		}
	}
	if s.o.MaxAge < time.Minute {
		s.problem("max_age", -1, "%s is too short: the minimum is a minute, because clocks may differ by that much", s.o.MaxAge)
	}
	if s.o.Kind != policy.Workload && s.o.Kind != policy.User {
		s.problem("kind", -1, "must be workload or user")
	}
}

func (s *settings) checkPrincipal(known preset) {
	var err error
	if s.name, err = parseTemplate(s.o.Principal); err != nil {
		s.problem("principal", -1, "%v", err)
	} else if len(s.name.pieces) == 0 {
		s.problem("principal", -1, "%q has no claim in braces: all principals would have the same name", s.o.Principal)
	}
	for i, text := range s.o.Groups {
		t, err := parseTemplate(text)
		switch {
		case err != nil:
			s.problem("groups", i, "%v", err)
		case len(t.pieces) == 0 && !username.Valid(text):
			s.problem("groups", i, "%q is not a valid group name: it %s", shorten(text), username.Problem(text))
		case len(t.pieces) > 0:
			s.warnReserved(i, text, t)
		}
		s.groups = append(s.groups, t)
	}
	s.kept = make(map[string]claim, len(s.o.Claims))
	for i, text := range s.o.Claims {
		name, from, renamed := strings.Cut(text, "=")
		if !renamed {
			from = text
			name = text[strings.LastIndexByte(text, '/')+1:]
			if !strings.HasPrefix(text, "/") {
				name = text
			}
		}
		c, err := parseClaim(from)
		_, twice := s.kept[name]
		switch {
		case err != nil:
			s.problem("claims", i, "%v", err)
		case name == "" || strings.ContainsAny(name, "{}") || !username.Valid(name):
			s.problem("claims", i, "%q is not a valid claim name", shorten(name))
		case twice:
			s.problem("claims", i, "%q is already used for another claim", name)
		default:
			s.kept[name] = c
		}
	}
	if known.number != "" {
		if s.number, err = parseClaim(known.number); err != nil {
			s.problem("preset", -1, "%v", err)
		}
	}
}

func (s *settings) checkRequire() {
	for _, name := range slices.Sorted(maps.Keys(s.o.Require)) {
		c, err := parseClaim(name)
		if err != nil {
			s.problem("require", -1, "%v", err)
			continue
		}
		wanted := condition{claim: c}
		for _, pattern := range s.o.Require[name] {
			if pattern == "" || strings.Contains(pattern, "***") {
				s.problem("require", -1, "%s: %q is not a valid pattern", name, pattern)
				continue
			}
			wanted.patterns = append(wanted.patterns, glob(pattern))
		}
		if len(s.o.Require[name]) == 0 {
			s.problem("require", -1, "%s: no value", name)
		}
		s.required = append(s.required, wanted)
	}
	s.checkRestricted()
}

func (s *settings) checkOrigin() {
	issuer := s.checkIssuer()
	if s.o.JWKSFile != "" {
		for _, f := range []struct{ field, is string }{{"jwks_url", s.o.JWKSURL}, {"ca", s.o.CA}, {"token_file", s.o.TokenFile}} {
			if f.is != "" {
				s.problem(f.field, -1, "not used together with jwks_file")
			}
		}
		s.origin = file{s.o.JWKSFile}
		return
	}
	var keys *url.URL
	if s.o.JWKSURL != "" {
		keys = s.address("jwks_url", s.o.JWKSURL)
	}
	roots, err := endpoint.Roots(s.o.CA)
	if err != nil {
		s.problem("ca", -1, "%v", err)
	}
	if s.o.TokenFile != "" {
		if _, err := endpoint.Bearer(s.o.TokenFile); err != nil {
			s.problem("token_file", -1, "%v", err)
		}
	}
	if issuer != nil || keys != nil {
		s.origin = newRemote(s.o.Issuer, issuer, keys, roots, s.o.TokenFile)
	}
}

// checkIssuer returns the issuer's URL if its discovery document is needed. With jwks_url or
// jwks_file, the issuer can be any text. For example, Kubernetes clusters use "api" or
// "kubernetes/serviceaccount".
func (s *settings) checkIssuer() *url.URL {
	issuer := s.o.Issuer
	discovered := s.o.JWKSFile == "" && s.o.JWKSURL == ""
	u, err := url.Parse(issuer)
	switch {
	case issuer == "":
		s.problem("issuer", -1, "missing")
	case strings.TrimSpace(issuer) != issuer || !text.Printable(issuer):
		s.problem("issuer", -1, "begins or ends with white space, or contains an unprintable character")
	case err == nil && u.User != nil:
		// The error does not contain the URL.
		s.problem("issuer", -1, "the URL contains a name or password")
	case !discovered:
	case err != nil || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http":
		s.problem("issuer", -1, "%q is not an https URL, so keys cannot be discovered: %s", shorten(issuer), s.whereKeys())
	case u.Scheme == "http" && !endpoint.Safe(u) && u.Hostname() != "":
		s.problem("issuer", -1, "use https, because anyone who can change the keys in transit can sign tokens; or %s", s.whereKeys())
	default:
		return s.address("issuer", issuer)
	}
	return nil
}

// whereKeys returns the settings that are needed if the issuer has no discovery document.
func (s *settings) whereKeys() string {
	if s.o.Preset == Kubernetes {
		known, _ := presetOf(Kubernetes)
		return fmt.Sprintf("set jwks_url: %s with ca: %s and token_file: %s, or a jwks_file", known.jwksURL, known.ca, known.token)
	}
	return "set jwks_url to an https URL, or set jwks_file"
}

// address checks a URL from which keys are fetched. Plain http is allowed only for this machine,
// because anyone who can change the keys in transit can sign tokens.
func (s *settings) address(field, text string) *url.URL {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http":
		s.problem(field, -1, "not a URL such as https://issuer.example.com")
	case u.User != nil:
		// The error does not contain the URL.
		s.problem(field, -1, "the URL contains a name or password")
	case u.Hostname() == "":
		s.problem(field, -1, "the URL has no host")
	case u.Fragment != "" || strings.HasSuffix(text, "#") || field == "issuer" && (u.RawQuery != "" || u.ForceQuery):
		s.problem(field, -1, "the URL has a query or fragment")
	case !endpoint.Safe(u):
		s.problem(field, -1, "use https, because anyone who can change the keys in transit can sign tokens")
	default:
		return u
	}
	return nil
}
