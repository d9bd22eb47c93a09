package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/explain"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// parseScopes parses arguments that are actions and names (push prod/app), or scopes as registries
// write them. A name without a type is a repository. Other names begin with their type:
// registry:catalog, tidewaiter:accounts.
func (s *session) parseScopes() ([]scope.Scope, []scope.Ignored, error) {
	texts := s.args
	if !strings.Contains(s.args[0], ":") {
		if err := s.checkActions(s.args[0]); err != nil {
			return nil, nil, err
		}
		if len(s.args) < 2 {
			return nil, nil, s.usageErrorf("missing repository, as in %s team/app", s.args[0])
		}
		texts = nil
		for _, name := range s.args[1:] {
			if err := s.checkWithoutRegistry(name); err != nil {
				return nil, nil, err
			}
			if repository, tag, ok := strings.Cut(name, ":"); ok && strings.Contains(repository, "/") {
				return nil, nil, s.usageErrorf("leave out the tag %q: rules are about the whole repository %s", tag, text.Name(repository))
			}
			if !hasType(name) {
				name = scope.TypeRepository + ":" + name
			}
			texts = append(texts, name+":"+s.args[0])
		}
	}
	scopes, ignored, err := scope.Parse(texts)
	if err != nil {
		return nil, nil, s.usageErrorf("%v", err)
	}
	if len(scopes) == 0 {
		return nil, nil, s.usageErrorf("%s is not a scope: %s", ignored[0].Text, ignored[0].Reason)
	}
	return scopes, ignored, nil
}

// checkWithoutRegistry returns a usage error if the name of a repository begins with a registry.
// If it is not certain that the first part is a registry, it prints a note instead.
func (s *session) checkWithoutRegistry(name string) error {
	host, repository, sure := text.WithoutRegistry(name)
	switch {
	case host == "" || hasType(name):
		return nil
	case sure:
		return s.usageErrorf("%s", text.NamedWithoutRegistry(repository))
	}
	s.printNote("%s; %s is taken as a part of the name", text.NamedWithoutRegistry(repository), text.Escape(host))
	return nil
}

// hasType reports whether the name begins with a type. A repository's name has a colon only if it
// begins with a host and a port.
func hasType(name string) bool {
	kind, rest, ok := strings.Cut(name, ":")
	return ok && (!strings.Contains(rest, "/") || slices.Contains([]string{scope.TypeRepository, scope.TypeRegistry, scope.TypeTidewaiter}, kind))
}

// checkActions returns a usage error if the word is not a list of actions.
func (s *session) checkActions(word string) error {
	for name := range strings.SplitSeq(word, ",") {
		if _, known := scope.ParseAction(name); known {
			continue
		}
		suggestion := ""
		if near := text.Nearest(name, []string{"pull", "push", "delete", "read", "write"}); near != "" {
			suggestion = fmt.Sprintf(" (did you mean %q?)", near)
		}
		return s.usageErrorf("%q is not an action%s: use pull, push, delete or * for all, or a scope such as repository:team/app:pull", name, suggestion)
	}
	return nil
}

// registry returns the registry with the given name. If there is only one registry, the name can
// be "".
func (s *session) registry(named string) (string, error) {
	names := s.services()
	switch {
	case named == "" && len(names) == 1:
		return names[0], nil
	case named == "":
		return "", s.usageErrorf("there are several registries; choose one with --registry: %s", strings.Join(names, ", "))
	case !slices.Contains(names, named):
		return "", fmt.Errorf("no registry in %s has the service %q; the config has %s", s.cfg.File, named, strings.Join(names, ", "))
	}
	return named, nil
}

// queryFlags has the flags that the commands explain, who-can and what-can share. These flags
// select the registry and the policy of the query.
type queryFlags struct {
	registry  string
	filesOnly *bool
	all       bool // without --registry, the query is about all registries
	at        time.Time
	orCurrent bool // use the current policy if the policy of this time is not recorded
	past      explain.Past
}

func (q *queryFlags) add(f *flags) {
	usage := "the registry's service `name` (default: the only one)"
	if q.all {
		usage = "only the registry with this service `name` (default: all)"
	}
	f.StringVar(&q.registry, "registry", "", usage)
	q.filesOnly = filesOnlyFlag(f)
}

// addAt adds the flag --at, which selects the policy of a time in the past.
func (q *queryFlags) addAt(f *flags) {
	f.time(&q.at, "at", "use the policy that was in force at this `time`, such as 2026-11-28T23:00:00Z, 2026-11-28, \"2026-11-28 23:00 Europe/Paris\" or 2d (two days ago)")
	f.addCheck(func(s *session) error {
		if *q.filesOnly && !q.at.IsZero() {
			return s.usageErrorf("the history of the policy is in the database, and --files-only leaves the database out")
		}
		if q.at.After(clock.Now()) {
			return s.usageErrorf("--at is in the future, and the policy of that time is not known yet: leave out --at for the current policy")
		}
		return nil
	})
}

// load returns the registry ("" for all registries) and the policy. The policy has the rules of
// the files, the database and the namespaces. With --files-only, it has only the rules of the
// files. With --at, load returns the policy that was in force at that time.
func (q *queryFlags) load(s *session) (registry string, p *policy.Policy, err error) {
	if err := loadConfig(s); err != nil {
		return "", nil, err
	}
	if !q.all || q.registry != "" {
		if registry, err = s.registry(q.registry); err != nil {
			return "", nil, err
		}
	}
	open := openHistory
	if q.orCurrent {
		open = loadRules
	}
	if q.at.IsZero() || *q.filesOnly {
		p, err = offline.Policy(s.ctx, s.cfg, *q.filesOnly)
	} else if err = open(s); err == nil {
		q.past, err = explain.PolicyAt(s.ctx, s.rules, q.at, q.orCurrent)
		p = q.past.Policy
	}
	if !*q.filesOnly && !errors.Is(err, admin.ErrNotFound) {
		err = hintFilesOnly(err)
	}
	return registry, p, err
}

// For a query about a time in the past, printPast writes which policy was used.
func (q *queryFlags) printPast(w io.Writer) {
	p := paintFor(w)
	switch period := q.past.Period; {
	case q.past.Note != "":
		fmt.Fprintln(w, p.bold(q.past.Note))
	case period != nil:
		fmt.Fprintln(w, p.bold("by policy "+period.Policy+", "+duration(period)+"; groups and accounts are those of today"))
	}
}

func filesOnlyFlag(f *flags) *bool {
	return f.Bool("files-only", false, "ignore rules in the database, and rules of namespaces")
}

// hintFilesOnly adds a hint to an error of the database: use --files-only, which needs no
// database.
func hintFilesOnly(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w (use --files-only to ignore the rules in the database)", err)
}
