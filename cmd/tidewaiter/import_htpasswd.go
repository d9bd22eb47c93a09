package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/identity/htpasswd"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func newImportHTPasswd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "htpasswd FILE",
		Short: "Import the users of an htpasswd file as local users",
		Long: `Import the users of an htpasswd file as local users, with their password hashes (bcrypt, argon2id). All
lines are checked first: if one is invalid, nothing is changed, unless --skip-bad is given. Existing
users stay as they are. Each user is added and journaled separately, so an interrupted import can be
repeated. The service may be running.

Where an htpasswd source of the configuration has the same line, the user keeps the groups that it
gives them, and you can remove the source afterwards. A name that another source has is refused.

--groups names a file of lines "group: name name …" with more groups of the new users. Missing groups
are added.`,
		Example: `  tidewaiter import htpasswd users.htpasswd --dry-run
  tidewaiter import htpasswd users.htpasswd --groups groups.txt`,
		Args: cobra.ExactArgs(1),
	}
	k := newAccountFlags(cmd)
	groups := cmd.Flags().String("groups", "", "a `file` of groups in the format of Apache's AuthGroupFile")
	dry := cmd.Flags().Bool("dry-run", false, "print what would be done, and change nothing")
	skip := cmd.Flags().Bool("skip-bad", false, "skip invalid lines")
	_ = cmd.MarkFlagFilename("groups") // fails only for an unknown flag
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := k.source.load()
		if err != nil {
			return err
		}
		r := reader{others: app.OthersOf(cfg), left: make(map[string]int)}
		users, bad, err := r.users(cmd.Context(), args[0], *groups)
		if err != nil {
			return err
		}
		for _, source := range r.unchecked {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: whether another source has some of the names could not be checked: %s\n", text.Escape(source))
		}
		if len(bad) > 0 && !*skip {
			tell(cmd.ErrOrStderr(), bad)
			fmt.Fprintln(cmd.ErrOrStderr(), "Nothing was changed. Use --skip-bad to skip these lines.")
			return errReported
		}
		open := k.change
		if *dry {
			open = k.read
		}
		var t taken
		err = open(cmd, func(ctx context.Context, d accountSession) (err error) {
			t, err = take(ctx, d, users, *dry)
			return err
		})
		switch {
		case *dry && errors.Is(err, fs.ErrNotExist): // no database, so all users are new
			t = everybody(users)
		case err != nil && len(t.added) > 0:
			return fmt.Errorf("%s, and then: %w", t, err)
		case err != nil:
			return err
		}
		if err := t.report(cmd, *k.output, bad, *dry); err != nil || *dry {
			return err
		}
		for _, s := range cfg.Identity {
			if left, some := r.left[s.Name()]; some && left == 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "Next: remove the source %s from identity (%s:%d). All of its users are accounts now.\n", s.Name(), cfg.File, s.Line)
			}
		}
		return nil
	}
	return cmd
}

// reader reads users, and what the config says of them.
type reader struct {
	others    *app.Others
	unchecked []string       // sources that may have some of the names, and why that is not known
	left      map[string]int // how many users a source of the config has whose lines are not taken
}

// report prints what was done, or with dry what would be done.
func (t taken) report(cmd *cobra.Command, output format, bad config.Problems, dry bool) error {
	if output == asJSON {
		return writeJSON(cmd.OutOrStdout(), t.forPrograms(bad, dry))
	}
	tell(cmd.ErrOrStderr(), bad)
	for _, name := range t.kept {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s exists and is left unchanged\n", name)
	}
	would := ""
	if dry {
		would = "dry run: "
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s%s\n", would, t)
	return err
}

// everybody is the result for a database without users.
func everybody(users []accounts.NewUser) (t taken) {
	for _, u := range users {
		t.added = append(t.added, u.Name)
		for _, g := range u.Groups {
			if !slices.Contains(t.groups, g) {
				t.groups = append(t.groups, g)
			}
		}
	}
	return t
}

// users reads users with their groups. bad are the invalid lines.
func (r *reader) users(ctx context.Context, file, groupFile string) (users []accounts.NewUser, bad config.Problems, err error) {
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
		bad = append(bad, config.Problem{File: p.File, Line: p.Line, Text: p.Text, Suggestion: p.Suggestion})
	}
	memberOf, wrong, err := readGroups(groupFile)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if err := accounts.CheckName(e.Name); err != nil {
			bad = append(bad, config.Problem{File: file, Line: e.Number, Text: reason(err)})
			continue
		}
		more, wrong := r.known(ctx, e)
		if wrong != "" {
			bad = append(bad, config.Problem{File: file, Line: e.Number, Text: wrong})
			continue
		}
		groups := slices.Concat(memberOf[e.Name], more)
		slices.Sort(groups)
		users = append(users, accounts.NewUser{Name: e.Name, Hash: e.Hash, Groups: slices.Compact(groups), Moved: true})
	}
	slices.SortStableFunc(bad, func(a, b config.Problem) int { return a.Line - b.Line })
	return users, append(bad, wrong...), nil
}

// known returns the groups that the config has for a line, or says why the line cannot be taken: fewer groups or claims than
// before could let somebody do what a rule denied.
func (r *reader) known(ctx context.Context, e htpasswd.Line) (groups []string, wrong string) {
	was := r.others.Entry(e)
	if was == nil {
		found := r.others.Have(ctx, e.Name)
		if found.Source != "" {
			return nil, fmt.Sprintf("the source %s has another user called %s: take the name out there, or here", found.Source, e.Name)
		}
		for _, source := range found.Unchecked {
			if !slices.Contains(r.unchecked, source) {
				r.unchecked = append(r.unchecked, source)
			}
		}
		return nil, ""
	}
	who := was.Who
	if len(who.Claims) > 0 {
		return nil, fmt.Sprintf("%s has claims in the config, and accounts have none", e.Name)
	}
	for _, group := range who.Groups {
		if err := accounts.CheckName(group); err != nil {
			return nil, fmt.Sprintf("%s is in the group %q of the config, and no group of accounts can be called that", e.Name, group)
		}
	}
	if _, ok := r.left[who.Source]; !ok {
		r.left[who.Source] = was.Users
	}
	r.left[who.Source]--
	return who.Groups, ""
}

// readGroups reads lines of a group, a colon and names.
func readGroups(file string) (memberOf map[string][]string, bad config.Problems, err error) {
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
		if !ok {
			bad = append(bad, config.Problem{File: file, Line: number, Text: "the line has no colon between the group and its members"})
			continue
		}
		if err := accounts.CheckName(group); err != nil {
			bad = append(bad, config.Problem{File: file, Line: number, Text: reason(err)})
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

// reason returns why a name is invalid.
func reason(err error) string {
	if invalid, ok := errors.AsType[*accounts.InvalidError](err); ok {
		return "the name is not valid for an account: " + invalid.Text
	}
	return err.Error()
}

// taken is the result of an import.
type taken struct{ added, kept, groups []string }

func (t taken) String() string {
	text := count(len(t.added), "user", "users") + " added"
	if len(t.groups) > 0 {
		text += ", " + count(len(t.groups), "group", "groups") + " added"
	}
	if len(t.kept) > 0 {
		text += ", " + count(len(t.kept), "user", "users") + " existing"
	}
	return text
}

func (t taken) forPrograms(bad config.Problems, dry bool) any {
	list := func(names []string) []string { return append([]string{}, names...) }
	wrong := make([]found, len(bad))
	for i, p := range bad {
		wrong[i] = found(p)
	}
	return struct {
		Added   []string `json:"added"`
		There   []string `json:"there"`
		Groups  []string `json:"groups_added"`
		Skipped []found  `json:"skipped"`
		DryRun  bool     `json:"dry_run"`
	}{list(t.added), list(t.kept), list(t.groups), wrong, dry}
}

// take adds users and the groups that they need. It skips what exists, so it can be repeated.
func take(ctx context.Context, d accountSession, users []accounts.NewUser, dry bool) (t taken, err error) {
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.Name
	}
	known, err := d.Users(ctx, d.by, names)
	if err != nil {
		return t, err
	}
	there := make(map[string]bool, len(known))
	for _, name := range known {
		there[name] = true
	}
	for _, u := range users {
		if there[u.Name] {
			t.kept = append(t.kept, u.Name)
			continue
		}
		for _, g := range u.Groups {
			if slices.Contains(t.groups, g) {
				continue
			}
			_, err := d.Group(ctx, d.by, g)
			if err == nil {
				continue
			}
			if errors.Is(err, accounts.ErrNotFound) && !dry {
				_, err = d.AddGroup(ctx, d.by, g)
			}
			switch {
			case err == nil, dry && errors.Is(err, accounts.ErrNotFound):
				t.groups = append(t.groups, g)
			case !errors.Is(err, accounts.ErrExists): // another process added it meanwhile
				return t, err
			}
		}
		if !dry {
			_, err := d.AddUser(ctx, d.by, u)
			if errors.Is(err, accounts.ErrExists) {
				t.kept = append(t.kept, u.Name)
				continue
			}
			if err != nil {
				return t, err
			}
		}
		t.added = append(t.added, u.Name)
	}
	return t, nil
}
