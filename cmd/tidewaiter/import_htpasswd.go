package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/sources"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/policy"
)

func importHTPasswd() command {
	return command{
		use:   "htpasswd FILE",
		short: "Import the users of an htpasswd file as local users",
		long: `Import the users of an htpasswd file as local users, with their password hashes
(bcrypt, argon2id). All lines are checked first: if a line is invalid, nothing is changed. With
--skip-bad, invalid lines are left out instead. Existing users are not changed. Each user is added
and journaled separately, so you can repeat an interrupted import. The command can run while the
service runs.

If an htpasswd source of the config has the same line, the user keeps the groups that this source
gives to the user. You can remove the source afterwards. A name that another source has is
refused.

--groups names a file of lines "group: name name …", which adds the new users to groups. Missing
groups are added.`,
		example: `  tidewaiter import htpasswd users.htpasswd --dry-run
  tidewaiter import htpasswd users.htpasswd --groups groups.txt`,
		opens: loadConfig,
		flags: func(f *flags) action {
			var groups string
			f.file(&groups, "groups", "", "", "a `file` of groups in the format of Apache's AuthGroupFile")
			dry := f.Bool("dry-run", false, "print the changes, but do not make them")
			skip := f.Bool("skip-bad", false, "skip invalid lines")
			return func(s *session) error { return s.importHTPasswd(groups, *dry, *skip) }
		},
	}
}

func (s *session) importHTPasswd(groupFile string, dry, skip bool) error {
	r := userReader{others: offline.Sources(s.cfg, nil), left: make(map[string]int)}
	users, bad, err := r.readUsers(s.ctx, s.args[0], groupFile)
	if err != nil {
		return err
	}
	for _, source := range r.unchecked {
		s.warn("could not check whether another source has some of the names: %s", text.Escape(source))
	}
	if !s.printsJSON() || len(bad) > 0 && !skip {
		printProblems(s.errs, bad)
	}
	if len(bad) > 0 && !skip {
		s.printNote("Nothing was changed. Use --skip-bad to skip these lines.")
		return errReported
	}
	t := importResult{Added: []string{}, Existing: []string{}, Groups: []string{}, Skipped: append(strictyaml.Problems{}, bad...), DryRun: dry}
	open := changeAccounts
	if dry {
		open = readAccounts
	}
	if err := open(s); err != nil && !(dry && errors.Is(err, store.ErrMissing)) { // no database yet
		return err
	}
	if err := s.addUsers(&t, users); err != nil && len(t.Added) > 0 {
		return fmt.Errorf("%s, and then: %w", &t, err)
	} else if err != nil {
		return err
	}
	if !s.printsJSON() {
		for _, name := range t.Existing {
			s.printNote("%s exists and is left unchanged", name)
		}
	}
	would := ""
	if dry {
		would = "dry run: "
	}
	if err := s.print(t, "%s%s", would, &t); err != nil || dry {
		return err
	}
	for _, source := range s.cfg.Identity {
		if left, ok := r.left[source.Name()]; ok && left == 0 {
			s.printNote("Next: remove the source %s from identity (%s:%d). All of its users are accounts now.", source.Name(), s.cfg.File, source.Line)
		}
	}
	return nil
}

// userReader reads users from files. From the config, it reads the groups and claims of these
// users.
type userReader struct {
	others    *sources.Set
	unchecked []string       // unavailable sources, each with the reason
	left      map[string]int // the number of users that are not imported, for each htpasswd source
}

// readUsers reads the users of an htpasswd file, with the groups from the config and from the
// group file. It also returns a problem for each line that cannot be imported.
func (r *userReader) readUsers(ctx context.Context, file, groupFile string) (users []accounts.NewUser, bad strictyaml.Problems, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the users: %w", err)
	}
	entries, err := htpasswd.Read(file, text)
	problems, ok := errors.AsType[htpasswd.Problems](err)
	if err != nil && !ok {
		return nil, nil, err
	}
	for _, p := range problems {
		bad = append(bad, strictyaml.Problem{File: p.File, Line: p.Line, Text: p.Text, Suggestion: p.Suggestion})
	}
	memberOf, badGroups, err := readGroups(groupFile)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		more, err := r.groupsOf(ctx, e)
		if err != nil {
			bad = append(bad, strictyaml.Problem{File: file, Line: e.Number, Text: err.Error()})
			continue
		}
		groups := slices.Concat(memberOf[e.Name], more)
		slices.Sort(groups)
		users = append(users, accounts.NewUser{Name: e.Name, Hash: e.Hash, Groups: slices.Compact(groups), Moved: true})
	}
	slices.SortStableFunc(bad, func(a, b strictyaml.Problem) int { return a.Line - b.Line })
	return users, append(bad, badGroups...), nil
}

// groupsOf returns the groups that the config has for a line, or the reason why the line cannot be
// imported. If the account would have fewer groups or claims than the user has now, groupsOf
// returns an error, because a deny that names the lost group or claim would no longer apply.
func (r *userReader) groupsOf(ctx context.Context, e htpasswd.Line) (groups []string, err error) {
	if err := checkName(e.Name); err != nil {
		return nil, err
	}
	who, users := r.findSource(e)
	if who == nil {
		found := r.others.Elsewhere(ctx, e.Name)
		if found.Source != "" {
			return nil, fmt.Errorf("the source %s has another user called %s: remove the user from that source or from this file", found.Source, e.Name)
		}
		for _, source := range found.Unchecked {
			if !slices.Contains(r.unchecked, source) {
				r.unchecked = append(r.unchecked, source)
			}
		}
		return nil, nil
	}
	if len(who.Claims) > 0 {
		return nil, fmt.Errorf("%s has claims in the config, and an account cannot have claims", e.Name)
	}
	for _, group := range who.Groups {
		if err := admin.CheckName(group); err != nil {
			return nil, fmt.Errorf("%s is in the group %q of the config, and a group of accounts cannot have this name", e.Name, group)
		}
	}
	if _, ok := r.left[who.Source]; !ok {
		r.left[who.Source] = users
	}
	r.left[who.Source]--
	return who.Groups, nil
}

// findSource finds the htpasswd source that has a line with the same name and the same hash. It
// returns the user and the number of users in that source, or nil if no source has the line.
func (r *userReader) findSource(e htpasswd.Line) (who *policy.Principal, users int) {
	for _, s := range r.others.Sources {
		if file, ok := s.Authenticator.(*htpasswd.File); ok {
			if who := file.Entry(e); who != nil {
				return who, file.Len()
			}
		}
	}
	return nil, 0
}

// readGroups reads a file with lines such as "dev: ann bob", and returns the groups of each
// name. It also returns a problem for each invalid line.
func readGroups(file string) (memberOf map[string][]string, bad strictyaml.Problems, err error) {
	memberOf = make(map[string][]string)
	if file == "" {
		return memberOf, nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the groups: %w", err)
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		group, names, ok := strings.Cut(line, ":")
		group = strings.TrimSpace(group)
		err := checkName(group)
		if !ok {
			err = errors.New("the line has no colon between the group and its members")
		}
		if err != nil {
			bad = append(bad, strictyaml.Problem{File: file, Line: number, Text: err.Error()})
			continue
		}
		for _, name := range strings.FieldsFunc(names, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
			if !slices.Contains(memberOf[name], group) {
				memberOf[name] = append(memberOf[name], group)
			}
		}
	}
	return memberOf, bad, nil
}

// checkName rejects names that accounts and groups cannot have.
func checkName(name string) error {
	err := admin.CheckName(name)
	if invalid, ok := errors.AsType[*admin.InvalidError](err); ok {
		err = errors.New("the name is not valid for an account: " + invalid.Text)
	}
	return err
}

// importResult is the result of an import. It is also the JSON form of the result.
type importResult struct {
	Added    []string            `json:"added"`
	Existing []string            `json:"existing"`
	Groups   []string            `json:"groups_added"`
	Skipped  strictyaml.Problems `json:"skipped"`
	DryRun   bool                `json:"dry_run"`
}

func (t *importResult) String() string {
	text := count(len(t.Added), "user", "users") + " added"
	if len(t.Groups) > 0 {
		text += ", " + count(len(t.Groups), "group", "groups") + " added"
	}
	if len(t.Existing) > 0 {
		text += ", " + count(len(t.Existing), "user", "users") + " existing"
	}
	return text
}

// addUsers adds users and the groups that they need. It skips users and groups that exist, so
// that an interrupted import can be repeated.
func (s *session) addUsers(t *importResult, users []accounts.NewUser) error {
	there := make(map[string]bool, len(users))
	for _, u := range users {
		there[u.Name] = false
	}
	if s.accounts != nil {
		known, err := s.accounts.Users(s.ctx, s.by, slices.Collect(maps.Keys(there)))
		if err != nil {
			return err
		}
		for _, name := range known {
			there[name] = true
		}
	}
	for _, u := range users {
		if there[u.Name] {
			t.Existing = append(t.Existing, u.Name)
			continue
		}
		for _, g := range u.Groups {
			if err := s.addGroup(t, g); err != nil {
				return err
			}
		}
		if !t.DryRun {
			_, err := s.accounts.AddUser(s.ctx, s.by, u)
			if errors.Is(err, admin.ErrExists) {
				t.Existing = append(t.Existing, u.Name)
				continue
			}
			if err != nil {
				return err
			}
		}
		t.Added = append(t.Added, u.Name)
	}
	return nil
}

// addGroup adds a group unless it exists.
func (s *session) addGroup(t *importResult, group string) error {
	if slices.Contains(t.Groups, group) {
		return nil
	}
	if s.accounts != nil {
		if _, err := s.accounts.Group(s.ctx, s.by, group); !errors.Is(err, admin.ErrNotFound) {
			return err
		}
	}
	if !t.DryRun {
		switch _, err := s.accounts.AddGroup(s.ctx, s.by, group); {
		case errors.Is(err, admin.ErrExists): // another process added it meanwhile
			return nil
		case err != nil:
			return err
		}
	}
	t.Groups = append(t.Groups, group)
	return nil
}
