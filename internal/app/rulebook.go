package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/accounts"
	"github.com/tidewaiter/tidewaiter/internal/issuer"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/policy/when"
)

// newRulebook opens the rulebook, which outlives a reload, and makes the first policy of files and database.
func (a *App) newRulebook(ctx context.Context, cfg *config.Config) (*rulebook.Rulebook, error) {
	o := rulebookOptions(a.db, a.journal)
	o.Now, o.Log = a.now, a.log.Logger
	o.OnNamespaceDeleted = func() { a.accounts.Forget() }
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
	return rulebook.Options{DB: db, Journal: j, When: when.NewCompiler().Compile, DeleteOwned: accounts.Release}
}

// filesOf is what a config and its policy files say.
func filesOf(cfg *config.Config) rulebook.Files {
	files := rulebook.Files{Source: cfg.Rules, ID: cfg.Policy.ID()}
	for _, r := range cfg.Registries {
		files.Services = append(files.Services, r.Service)
	}
	return files
}

// Rulebook is the rules of files, database and namespaces.
func (a *App) Rulebook() *rulebook.Rulebook { return a.rulebook }

// OpenRulebook opens the rulebook that a config keeps, beside a service that may be running: it notices what is changed
// within two seconds. It makes no policy of it, so that a contradiction between files and database can be mended. The state is made where
// it is missing. closing ends it.
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

// ReadRulebook is OpenRulebook for looking only: it makes and changes nothing.
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

// LoadRulebook is ReadRulebook with the policy that a service with this config has in force: of files and database. Before the
// first start, and where the state is in the memory of a service, there are the files alone.
func LoadRulebook(ctx context.Context, cfg *config.Config) (_ *rulebook.Rulebook, closing func() error, err error) {
	b, _, closing, err := loadRulebook(ctx, cfg.Database, filesOf(cfg))
	return b, closing, err
}

// loadRulebook is LoadRulebook. It says whether there is a database; a state of "" has none.
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

// Policy is the policy that a service with this config has in force: of files, database and namespaces.
func Policy(ctx context.Context, cfg *config.Config) (*policy.Policy, error) {
	p, _, err := policyOf(ctx, cfg.Database, filesOf(cfg))
	return p, err
}

// PolicyOfFiles is what would be in force if the database had no rules.
func PolicyOfFiles(ctx context.Context, cfg *config.Config) (*policy.Policy, error) {
	p, _, err := policyOf(ctx, "", filesOf(cfg))
	return p, err
}

// Complete makes what files say of policy into what a service has in force: with the rules of the database at State, unless
// that is "", and with those that are built in. It says whether there is a database.
func Complete(ctx context.Context, files *config.OnlyPolicy) (database bool, err error) {
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

// CheckState looks whether files and database contradict each other.
func CheckState(ctx context.Context, cfg *config.Config) (wrong config.Problems, err error) {
	p, err := Policy(ctx, cfg)
	if err == nil {
		for _, r := range p.Rules() {
			if bad := rulebook.Unreadable(r.When); bad != nil {
				wrong = append(wrong, config.Problem{Text: fmt.Sprintf("the rule %q of the database takes effect only as far as it denies: %v", r.Name, bad)})
			}
		}
		return wrong, nil
	}
	conflicts, ok := errors.AsType[rulebook.Conflicts](err)
	if !ok {
		return nil, err
	}
	for _, text := range conflicts {
		wrong = append(wrong, config.Problem{Text: text})
	}
	return wrong, nil
}

// reloading is how the last reload went.
type reloading struct {
	problem error // nil: well
	at      time.Time
}

// problem is why what files and database say now is not in force; nil: it is.
func (a *App) problem() error {
	if r := a.reloading.Load(); r != nil && r.problem != nil {
		return r.problem
	}
	return a.rulebook.Status().Problem
}
