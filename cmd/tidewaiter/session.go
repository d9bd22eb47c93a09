package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/catalog"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/username"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/marker"
	"github.com/tidewaiter/tidewaiter/internal/offline"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/search"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

// session is one run of a command: its arguments, its streams, and the config, database and
// journal that it has opened.
type session struct {
	cmd       *cobra.Command
	ctx       context.Context
	args      []string
	in        io.Reader
	out, errs io.Writer // data goes to out, everything else to errs

	file, keys string  // --config and --keys
	output     *string // --output
	force      bool    // --force

	// The config, database and journal that the command has opened. A running service can have the
	// same database open.
	cfg      *config.Config
	by       admin.Actor // the actor of changes in the journal
	accounts *accounts.Accounts
	rules    *rulebook.Rulebook
	db       *store.DB
	journal  *journal.Journal
	catalog  *catalog.Catalog
	derived  *projection.Set // set only if the catalog is writable

	changesAccounts bool
	closing         []func() error // they close what was opened; the last one is called first
}

// runSteps runs the steps of a command. Then it closes everything that the steps have opened.
func (s *session) runSteps(cmd *cobra.Command, args []string, steps []action) (err error) {
	s.ctx, s.args, s.in, s.out, s.errs = cmd.Context(), args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	defer func() {
		for _, closing := range slices.Backward(s.closing) {
			err = errors.Join(err, closing())
		}
	}()
	for _, step := range steps {
		if step == nil {
			continue
		}
		if err := step(s); err != nil {
			return s.addHint(err)
		}
	}
	if s.changesAccounts && s.cfg.Accounts() == nil {
		s.warn("accounts cannot sign in: add \"accounts: {}\" to `identity` in %s", s.cfg.File)
	}
	return nil
}

// addHint adds a hint to an error: the command that solves the problem.
func (s *session) addHint(err error) error {
	missing, isMissing := errors.AsType[*admin.NotFoundError](err)
	// If the error has text after the missing name, it contains a hint already.
	if isMissing && missing.Kind == "user" && s.cfg != nil && strings.HasSuffix(err.Error(), missing.Error()) {
		// The name is not among the accounts, so only the other identity sources are searched.
		if p, e := offline.Sources(s.cfg, nil).Find(s.ctx, missing.Name); e == nil {
			return fmt.Errorf("%w in the accounts: the user is in the identity source %s, which this command does not change", err, text.Name(p.Source))
		}
	}
	switch {
	case isMissing && missing.Kind == "token":
		return fmt.Errorf("%w; tidewaiter token list prints the ids, which must be given in full", err)
	case isMissing && missing.Kind == "policy":
		return fmt.Errorf("%w; tidewaiter policy history lists the policies", err)
	case isMissing && missing.In == "":
		return fmt.Errorf("%w; tidewaiter %s list prints all names", err, missing.Kind)
	case errors.Is(err, accounts.ErrLast):
		return fmt.Errorf("%w; add another administrator with tidewaiter user add --admin NAME, or use --force", err)
	case errors.Is(err, accounts.ErrSetByDelegate):
		return fmt.Errorf("%w (tidewaiter user password NAME, tidewaiter robot rotate NAME --overlap 0)", err)
	}
	return err
}

// loadConfig reads the config. An error has the type strictyaml.Problems.
func loadConfig(s *session) (err error) {
	if s.cfg == nil {
		s.cfg, err = config.Load(s.file, config.Options{Keys: s.keys})
	}
	return err
}

// reloadConfig reads the config for a running service. It uses at most half of the cores, so that
// requests get the other half. It calls the function onRead before it reads each file.
func (s *session) reloadConfig(onRead func(folder, name string)) (*config.Config, error) {
	return config.Load(s.file, config.Options{Keys: s.keys, Seen: onRead, Parallel: max(1, password.Processors()/2)})
}

// untilStopped makes Ctrl-C and SIGTERM end the session's context. Service managers and container
// engines send SIGTERM. A second signal ends the program at once.
func (s *session) untilStopped() {
	ctx, stop := signal.NotifyContext(s.ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	s.ctx = ctx
	s.onClose(func() error { stop(); return nil })
}

func (s *session) onClose(closing func() error) { s.closing = append(s.closing, closing) }

func readAccounts(s *session) error { return open(s, &s.accounts, offline.ReadAccounts) }

func changeAccounts(s *session) error {
	s.changesAccounts = true
	return open(s, &s.accounts, offline.OpenAccounts)
}

func readRules(s *session) error { return open(s, &s.rules, offline.ReadRulebook) }

func changeRules(s *session) error { return open(s, &s.rules, offline.OpenRulebook) }

// loadRules opens the rulebook with the rules of the policy files and of the database.
func loadRules(s *session) error { return open(s, &s.rules, offline.LoadRulebook) }

// openHistory opens the rulebook for commands that need the history of the policy. The history is
// in the database. A database in memory belongs to the service, so openHistory returns an error
// for such a database.
func openHistory(s *session) error {
	if err := loadConfig(s); err != nil {
		return err
	}
	if store.InMemory(s.cfg.Database) {
		return readRules(s) // readRules fails, and its error names the reason
	}
	return loadRules(s)
}

// changeJournal opens the journal for writing.
func changeJournal(s *session) error {
	return open(s, &s.journal, func(ctx context.Context, cfg *config.Config) (*journal.Journal, func() error, error) {
		db, err := marker.Open(ctx, cfg, false, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, nil, err
		}
		j, err := journal.New(db, journal.Options{})
		if err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		s.db = db
		return j, func() error { return errors.Join(j.Close(context.WithoutCancel(ctx)), db.Close()) }, nil
	})
}

// readJournal opens the database, its journal and its catalog read-only.
func readJournal(s *session) error {
	return open(s, &s.journal, func(ctx context.Context, cfg *config.Config) (*journal.Journal, func() error, error) {
		db, err := store.OpenReadOnly(ctx, cfg.Database)
		if err != nil {
			return nil, nil, marker.Advise(cfg, err)
		}
		index := search.Projection(username.Login)
		holdings := catalog.Projection()
		derived := projection.New(db, projection.Options{ReadOnly: true}, index, holdings)
		j, err := journal.New(db, journal.Options{Login: username.Login, Index: search.NewIndex(derived, index)})
		if err != nil {
			return nil, nil, errors.Join(err, db.Close())
		}
		s.db, s.catalog = db, catalog.New(derived, holdings)
		return j, func() error { return errors.Join(j.Close(context.WithoutCancel(ctx)), derived.Close(), db.Close()) }, nil
	})
}

// open loads the config, calls the function opener with the config, and stores the result in *to.
// When the command ends, the session closes the result.
func open[T any](s *session, to *T, opener func(context.Context, *config.Config) (T, func() error, error)) error {
	if err := loadConfig(s); err != nil {
		return err
	}
	s.untilStopped()
	s.by = admin.Operator(operator())
	if s.force {
		s.by = s.by.WithForce()
	}
	opened, closing, err := opener(s.ctx, s.cfg)
	if err == nil {
		*to = opened
		s.onClose(closing)
	}
	return err
}

// operator returns the name of the local user, for the journal. No decision depends on this
// name.
func operator() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	// In a container, the operating system's user often has no name.
	return "uid-" + strconv.Itoa(os.Getuid())
}

func (s *session) usageErrorf(format string, args ...any) error {
	return usageErrorf(s.cmd, format, args...)
}

// services returns the names of the config's registries.
func (s *session) services() []string {
	names := make([]string, len(s.cfg.Registries))
	for i, r := range s.cfg.Registries {
		names[i] = r.Service
	}
	return names
}
