package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/policy"
)

// principalFlags has the flags that name a principal.
type principalFlags struct {
	given          []string // subjects
	groups, claims []string
}

// addAttributes adds the flags for a principal's groups and claims.
func (a *principalFlags) addAttributes(f *flags) {
	f.StringArrayVar(&a.groups, "group", nil, "an additional `group` (may be repeated)")
	f.StringArrayVar(&a.claims, "claim", nil, "a claim as `NAME=TEXT`, or NAME:=JSON for a number, true, false or a list (may be repeated)")
}

// add adds the flags that name a principal.
func (a *principalFlags) add(f *flags) {
	add := func(flag, kind, usage string) {
		f.Var(flagValue{"name", func() string { return "" }, func(name string) error {
			if name != "" {
				a.given = append(a.given, kind+name)
			}
			return nil
		}}, flag, usage)
	}
	add("as", "", "the `principal`: user:NAME, robot:NAME, workload:NAME or anonymous")
	a.addAttributes(f)
	for _, kind := range []string{"user", "robot", "workload"} { // aliases
		add(kind, kind+":", "the same as --as "+kind+":`NAME`")
		_ = f.MarkHidden(kind) // fails only for an unknown flag
	}
	f.BoolFunc("anonymous", "the same as --as anonymous", func(value string) error {
		if value == "true" {
			a.given = append(a.given, "anonymous")
		}
		return nil
	})
	_ = f.MarkHidden("anonymous")
}

// read returns the principal that the flags name. Every error of read is a usage error.
func (a *principalFlags) read(s *session) (*policy.Principal, error) {
	switch len(a.given) {
	case 0:
		return nil, s.usageErrorf("name a principal with --as: user:NAME, robot:NAME, workload:NAME or anonymous")
	case 1:
		return a.principal(s, a.given[0])
	}
	return nil, s.usageErrorf("only one principal can be given")
}

// principal returns the principal that a subject such as user:ann names.
func (a *principalFlags) principal(s *session, subject string) (*policy.Principal, error) {
	if name, group := strings.CutPrefix(subject, "group:"); group {
		return nil, s.usageErrorf("a group is not a principal: use user:NAME with --group %s", name)
	}
	who, err := policyfile.ParseWho(subject)
	if err != nil {
		suggestion := policyfile.MeantWho(subject)
		if suggestion != "" {
			suggestion = fmt.Sprintf(" (did you mean %q?)", suggestion)
		}
		return nil, s.usageErrorf("%v%s", err, suggestion)
	}
	if who.Kind == policy.Anonymous && len(a.groups)+len(a.claims) > 0 {
		return nil, s.usageErrorf("anonymous has no groups and no claims: --group and --claim need a user, a robot or a workload")
	}
	if who.Kind == policy.Robot {
		who.Name = strings.TrimPrefix(who.Name, username.RobotPrefix)
	}
	who.Groups = a.groups
	who.Claims, err = readClaims(a.claims)
	if err != nil {
		return nil, s.usageErrorf("%v", err)
	}
	return &who, nil
}

// readClaims parses claims in the form of flags: NAME=TEXT for a text, and NAME:=JSON for any
// other value.
func readClaims(written []string) (claims map[string]any, err error) {
	if len(written) == 0 {
		return nil, nil
	}
	claims = make(map[string]any, len(written))
	for _, text := range written {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" || name == ":" {
			return nil, fmt.Errorf("%q is not a claim: write NAME=TEXT, as in --claim repository=acme/app, or NAME:=JSON", text)
		}
		name, isJSON := strings.CutSuffix(name, ":")
		if !isJSON {
			claims[name] = value
			continue
		}
		if claims[name], err = readJSON(value); err != nil {
			return nil, fmt.Errorf("the claim %s: %q is not JSON: %w", name, value, err)
		}
	}
	claims, bad := policy.CanonicalClaims(claims)
	if bad != "" {
		return nil, fmt.Errorf("the claim %s contains a number that is out of range", bad)
	}
	return claims, nil
}

// readJSON parses one value and keeps numbers as they are written.
func readJSON(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("unexpected text after the value")
	}
	return v, nil
}

// find looks the principal up in the config's sources.
func (s *session) find(given *policy.Principal) (explain.Subject, error) {
	return explain.ResolvePrincipal(s.ctx, given, s.cfg.Token.Anonymous, func(ctx context.Context, login string) (*policy.Principal, error) {
		return offline.Find(ctx, s.cfg, login)
	})
}
