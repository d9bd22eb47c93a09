package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/policyfile"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// newRulebook opens the rulebook, which is kept across reloads, and compiles the first policy
// from files and database.
func (a *App) newRulebook(ctx context.Context, cfg *config.Config) (*rulebook.Rulebook, error) {
	o := rulebookOptions(a.db, a.journal)
	o.Now, o.Log = a.now, a.log
	o.OnNamespaceDeleted = func() { a.accounts.Credentials.Forget() }
	o.Changed = func(p *policy.Policy) {
		a.issuer.Swap(func(l issuer.Live) issuer.Live {
			l.Policy = p
			return l
		})
	}
	b, err := rulebook.New(o, filesOf(cfg))
	if err != nil {
		return nil, err
	}
	return b, b.Load(ctx)
}

func rulebookOptions(db *store.DB, j *journal.Journal) rulebook.Options {
	return rulebook.Options{DB: db, Journal: j, When: when.NewCompiler().Compile, DeleteOwned: accounts.DeleteOwned}
}

// filesOf returns the policy of a config and its policy files.
func filesOf(cfg *config.Config) rulebook.Files {
	files := rulebook.Files{Source: cfg.Rules, ID: cfg.Policy.ID()}
	for _, r := range cfg.Registries {
		files.Services = append(files.Services, r.Service)
	}
	return files
}

// Rulebook returns the rules of files, database and namespaces.
func (a *App) Rulebook() *rulebook.Rulebook { return a.rulebook }

// OpenRulebook opens the rulebook of a config for changes. A service may run at the same time:
// it notices changes within two seconds. It does not compile a policy, so that a conflict
// between files and database can be repaired. The database is created if it is missing. The
// caller calls closing at the end.
func OpenRulebook(ctx context.Context, cfg *config.Config) (_ *rulebook.Rulebook, closing func() error, err error) {
	db, err := openForWriting(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	closing = func() error { return errors.Join(j.Close(context.WithoutCancel(ctx)), db.Close()) }
	b, err := rulebook.New(rulebookOptions(db, j), filesOf(cfg))
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	return b, closing, nil
}

// ReadRulebook is OpenRulebook without changes: it neither creates nor writes anything.
func ReadRulebook(ctx context.Context, cfg *config.Config) (_ *rulebook.Rulebook, closing func() error, err error) {
	return readRulebook(ctx, cfg.Database, filesOf(cfg))
}

func readRulebook(ctx context.Context, state string, files rulebook.Files) (_ *rulebook.Rulebook, closing func() error, err error) {
	db, err := openAt(ctx, state, store.OpenReadOnly)
	if err != nil {
		return nil, nil, err
	}
	b, err := rulebook.New(rulebookOptions(db, nil), files)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return b, db.Close, nil
}

// LoadRulebook is ReadRulebook with the policy that a service with this config has in force: of
// files and database. Before the first start, or if the database is in the memory of a service,
// it uses only the files.
func LoadRulebook(ctx context.Context, cfg *config.Config) (_ *rulebook.Rulebook, closing func() error, err error) {
	b, _, closing, err := loadRulebook(ctx, cfg.Database, filesOf(cfg))
	return b, closing, err
}

// loadRulebook is LoadRulebook, and reports whether there is a database. A state of "" means
// none.
func loadRulebook(ctx context.Context, state string, files rulebook.Files) (_ *rulebook.Rulebook, database bool, closing func() error, err error) {
	var b *rulebook.Rulebook
	err = fs.ErrNotExist
	if state != "" && !inMemory(state) {
		b, closing, err = readRulebook(ctx, state, files)
	}
	database = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		closing = func() error { return nil }
		b, err = rulebook.New(rulebookOptions(nil, nil), files)
	}
	if err == nil {
		if err = b.Load(ctx); err != nil {
			err = errors.Join(err, closing())
		}
	}
	if err != nil {
		return nil, false, nil, err
	}
	return b, database, closing, nil
}

// Policy returns the policy that a service with this config has in force: of files, database and
// namespaces.
func Policy(ctx context.Context, cfg *config.Config) (*policy.Policy, error) {
	p, _, err := policyOf(ctx, cfg.Database, filesOf(cfg))
	return p, err
}

// PolicyOfFiles returns the policy that would be in force without rules in the database.
func PolicyOfFiles(ctx context.Context, cfg *config.Config) (*policy.Policy, error) {
	p, _, err := policyOf(ctx, "", filesOf(cfg))
	return p, err
}

// Complete adds to the policy of files the built-in rules and, unless Database is "", the rules
// of the database, so that it becomes the policy of a running service. It reports whether there
// is a database.
func Complete(ctx context.Context, files *policyfile.Compiled) (database bool, err error) {
	p, database, err := policyOf(ctx, files.Database, rulebook.Files{Source: files.Rules, Services: files.Services})
	if err != nil {
		return false, err
	}
	files.Policy = p
	files.Rules.Rules = p.Rules()
	return database, nil
}

func policyOf(ctx context.Context, state string, files rulebook.Files) (_ *policy.Policy, database bool, err error) {
	b, database, closing, err := loadRulebook(ctx, state, files)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, closing()) }()
	return b.Policy(), database, nil
}

// CheckState reports conflicts between files and database.
func CheckState(ctx context.Context, cfg *config.Config) (wrong strictyaml.Problems, err error) {
	p, err := Policy(ctx, cfg)
	if err == nil {
		for _, r := range p.Rules() {
			if bad := rulebook.Unreadable(r.When); bad != nil {
				wrong = append(wrong, strictyaml.Problem{Text: fmt.Sprintf("the rule %q in the database only denies, because its condition is invalid: %v", r.Name, bad)})
			}
		}
		return wrong, nil
	}
	conflicts, ok := errors.AsType[rulebook.Conflicts](err)
	if !ok {
		return nil, err
	}
	for _, text := range conflicts {
		wrong = append(wrong, strictyaml.Problem{Text: text})
	}
	return wrong, nil
}

// reloading is the result of the last reload.
type reloading struct {
	problem error // nil: it succeeded
	at      time.Time
}

// problem returns why the current files and database are not in force, or nil.
func (a *App) problem() error {
	if r := a.reloading.Load(); r != nil && r.problem != nil {
		return r.problem
	}
	return a.rulebook.Status().Problem
}
