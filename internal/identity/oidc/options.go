package oidc

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Problem is one mistake in Options.
type Problem struct {
	Field string // as the config calls it: "issuer", "require"
	Item  int    // of a list, from 0; -1: the field as a whole
	Text  string
}

// Problems is the error of New: all mistakes at once.
type Problems []Problem

// Error returns one line for each.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = fmt.Sprintf("oidc: %s: %s", p.Field, p.Text)
	}
	return strings.Join(lines, "\n")
}

// settings are Options with their defaults, and what was made of them.
type settings struct {
	o        Options
	name     template
	groups   []template
	kept     map[string]claim // by the name that rules know it by
	required []condition
	number   claim
	origin   origin
	problems Problems
	warnings Problems // what is allowed, and probably not meant
}

func (s *settings) problem(field string, item int, format string, args ...any) {
	s.problems = append(s.problems, Problem{field, item, fmt.Sprintf(format, args...)})
}

func (s *settings) warn(field string, item int, format string, args ...any) {
	s.warnings = append(s.warnings, Problem{field, item, fmt.Sprintf(format, args...)})
}

// check fills in the defaults and finds all that is wrong.
func (o Options) check() (*settings, Problems) {
	s := &settings{o: o}
	known, ok := presetOf(o.Preset)
	if !ok {
		s.problem("preset", -1, "there is no preset %q", o.Preset)
	}
	s.o.fill(known)
	if s.o.Log == nil {
		s.o.Log = slog.New(slog.DiscardHandler)
	}
	s.o.Now = clock.Wall(s.o.Now)
	if s.o.Kind == policy.Anonymous {
		s.o.Kind = policy.Workload
	}
	if s.o.Name == "" {
		s.problem("name", -1, "it is missing")
	}
	s.checkTokens()
	s.checkPrincipal(known)
	s.checkRequire()
	s.checkOrigin()
	return s, s.problems
}

func (s *settings) checkTokens() {
	if len(s.o.Audience) == 0 {
		s.problem("audience", -1, "it is missing: a token that was made for somebody else would be taken")
	}
	for i, a := range s.o.Audience {
		if a == "" || strings.TrimSpace(a) != a || !text.Printable(a) {
			s.problem("audience", i, "%q is no audience", a)
		}
	}
	for i, a := range s.o.Algorithms {
		if !slices.Contains(Algorithms(), a) {
			s.problem("algorithms", i, "%q is none of %s", a, strings.Join(Algorithms(), ", "))
		}
	}
	if s.o.MaxAge < time.Minute {
		s.problem("max_age", -1, "%s is too short: clocks may differ by that much", s.o.MaxAge)
	}
	if s.o.Kind != policy.Workload && s.o.Kind != policy.User {
		s.problem("kind", -1, "it is neither workload nor user")
	}
}

func (s *settings) checkPrincipal(known preset) {
	var err error
	if s.name, err = parseTemplate(s.o.Principal); err != nil {
		s.problem("principal", -1, "%v", err)
	} else if len(s.name.pieces) == 0 {
		s.problem("principal", -1, "%q has no claim in braces: everybody would have the same name", s.o.Principal)
	}
	for i, text := range s.o.Groups {
		t, err := parseTemplate(text)
		switch {
		case err != nil:
			s.problem("groups", i, "%v", err)
		case len(t.pieces) == 0 && nameProblem(text) != "":
			s.problem("groups", i, "%q is no name of a group: %s", shorten(text), nameProblem(text))
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
		case name == "" || strings.ContainsAny(name, "{}") || nameProblem(name) != "":
			s.problem("claims", i, "%q is no name of a claim", shorten(name))
		case twice:
			s.problem("claims", i, "another claim is kept as %q", name)
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
				s.problem("require", -1, "%s: %q is no pattern", name, pattern)
				continue
			}
			wanted.patterns = append(wanted.patterns, glob(pattern))
		}
		if len(s.o.Require[name]) == 0 {
			s.problem("require", -1, "%s: no value is given", name)
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
				s.problem(f.field, -1, "the keys are in jwks_file: it would not be used")
			}
		}
		s.origin = file{s.o.JWKSFile}
		return
	}
	var keys *url.URL
	if s.o.JWKSURL != "" {
		keys = s.address("jwks_url", s.o.JWKSURL)
	}
	roots, err := readRoots(s.o.CA)
	if err != nil {
		s.problem("ca", -1, "%v", err)
	}
	if s.o.TokenFile != "" {
		if _, err := readBearer(s.o.TokenFile); err != nil {
			s.problem("token_file", -1, "%v", err)
		}
	}
	if issuer != nil || keys != nil {
		s.origin = newRemote(s.o.Issuer, issuer, keys, roots, s.o.TokenFile)
	}
}

// checkIssuer returns the issuer's address, at which it says where its keys are. Where the config
// says that, the issuer is only a text that tokens have in them: Kubernetes clusters are called
// "api" or "kubernetes/serviceaccount".
func (s *settings) checkIssuer() *url.URL {
	issuer := s.o.Issuer
	discovered := s.o.JWKSFile == "" && s.o.JWKSURL == ""
	u, err := url.Parse(issuer)
	switch {
	case issuer == "":
		s.problem("issuer", -1, "it is missing")
	case strings.TrimSpace(issuer) != issuer || !text.Printable(issuer):
		s.problem("issuer", -1, "it begins or ends with a blank, or has a character that cannot be seen")
	case err == nil && u.User != nil:
		s.problem("issuer", -1, "the URL has a name or password in it") // which is not repeated
	case !discovered:
	case err != nil || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http":
		s.problem("issuer", -1, "%q is no https URL, so it cannot be asked for its keys: %s", shorten(issuer), s.whereKeys())
	case u.Scheme == "http" && !safe(u) && u.Hostname() != "":
		s.problem("issuer", -1, "https is wanted: whoever can change the keys on their way can sign tokens; or %s", s.whereKeys())
	default:
		return s.address("issuer", issuer)
	}
	return nil
}

// whereKeys says what to write for an issuer that cannot be asked.
func (s *settings) whereKeys() string {
	if s.o.Preset == Kubernetes {
		known, _ := presetOf(Kubernetes)
		return fmt.Sprintf("write jwks_url: %s with ca: %s and token_file: %s, or a jwks_file", known.jwksURL, known.ca, known.token)
	}
	return "write jwks_url with an https address, or a jwks_file"
}

// address checks a URL that keys are fetched from. Plain http is for this machine only: whoever
// can change what is fetched can sign tokens.
func (s *settings) address(field, text string) *url.URL {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http":
		s.problem(field, -1, "this is no URL like https://issuer.example.com")
	case u.User != nil:
		s.problem(field, -1, "the URL has a name or password in it") // which is not repeated
	case u.Hostname() == "":
		s.problem(field, -1, "the URL names no host")
	case u.Fragment != "" || strings.HasSuffix(text, "#") || field == "issuer" && (u.RawQuery != "" || u.ForceQuery):
		s.problem(field, -1, "the URL has a query or fragment")
	case !safe(u):
		s.problem(field, -1, "https is wanted: whoever can change the keys on their way can sign tokens")
	default:
		return u
	}
	return nil
}

// safe says whether what comes from there is what was sent.
func safe(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && ip.IsLoopback())
}

// readRoots reads the certificates of a PEM file; nil, those of the system, without one.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return roots, nil
}

// maxBearer bounds a file with a bearer token, in bytes.
const maxBearer = 16 << 10

// readBearer reads a bearer token. The error does not repeat it.
func readBearer(file string) (string, error) {
	text, err := readFile(file, maxBearer)
	if err != nil {
		return "", err
	}
	bearer := strings.TrimSpace(string(text))
	if bearer == "" || strings.ContainsFunc(bearer, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s has no token in it, or more than one", file)
	}
	return bearer, nil
}
