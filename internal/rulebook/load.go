package rulebook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// topic is what the database counts our changes under.
const topic = "rulebook"

// readingTakes is how long it may take to read the database before what was read last is taken.
const readingTakes = 10 * time.Second

// Load reads the database and makes the first policy. Without it there is none: the error is that of the database, or Conflicts.
func (b *Rulebook) Load(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.readLocked(ctx); err != nil {
		return fmt.Errorf("loading the policy: %w", err)
	}
	p, source, err := b.compileLocked(b.files)
	if err != nil {
		return err
	}
	b.enforceLocked(p, source)
	return nil
}

// Reload takes what files say now, with what the database holds. swap is called with the new policy before anybody
// else sees it, and nothing else comes into force meanwhile. If anything is wrong, swap is not called and all stays as it
// was. A database that does not answer is taken to hold what it held.
func (b *Rulebook) Reload(ctx context.Context, files Files, swap func(*policy.Policy)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	reading, end := context.WithTimeout(ctx, readingTakes)
	err := b.readLocked(reading)
	end()
	if err != nil && b.known == nil {
		return fmt.Errorf("loading the policy: %w", err)
	}
	if err != nil {
		b.o.Log.Warn("the database's rules cannot be read; those that were read last hold", "error", err)
	}
	p, source, err := b.compileLocked(files)
	if err != nil {
		return err
	}
	swap(p)
	b.files = files
	b.enforceLocked(p, source)
	return nil
}

// Run notices what others change in the database, and keeps the versions of the policy, until ctx ends, whose error it returns. More
// than one may run.
func (b *Rulebook) Run(ctx context.Context) error {
	if b.o.DB == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	keeping := make(chan struct{})
	go func() {
		defer close(keeping)
		b.keepVersions(ctx)
	}()
	defer func() { <-keeping }()
	return b.o.DB.Watch(ctx, []string{topic}, func(string) {
		for failing := false; ; failing = true {
			err := b.refresh(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil && failing:
				b.o.Log.Info("the database's rules are read again")
				return
			case err == nil:
				return
			case !failing:
				b.o.Log.Warn("the database's rules cannot be read; those that were read last hold", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	})
}

// refresh makes a new policy if the database has changed. The error is that of the database: what does not
// compile is told in Status.
func (b *Rulebook) refresh(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.known
	if before == nil {
		return nil // Load comes first
	}
	if err := b.readLocked(ctx); err != nil || b.known == before {
		return err
	}
	p, source, err := b.compileLocked(b.files)
	if err != nil {
		status := b.Status()
		if status.Problem == nil || status.Problem.Error() != err.Error() {
			b.o.Log.Error("the last good policy stays in force", "error", err)
		}
		status.Problem = err
		b.status.Store(&status)
		return nil
	}
	if b.o.Changed != nil {
		b.o.Changed(p)
	}
	b.enforceLocked(p, source)
	b.o.Log.Info("the policy has changed in the database", "rules", p.Len(), "policy", p.ID())
	return nil
}

// readLocked reads the database if it has changed since it was read last.
func (b *Rulebook) readLocked(ctx context.Context) error {
	if b.o.DB == nil {
		if b.known == nil {
			b.known = new(contents)
		}
		return nil
	}
	read, err := read(ctx, b.o.DB, b.known)
	if err != nil {
		return err
	}
	if read != b.known {
		if err := read.compile(b.o.When); err != nil {
			return err
		}
		b.known = read
	}
	return nil
}

func (b *Rulebook) compileLocked(files Files) (*policy.Policy, policy.Source, error) {
	source, err := merge(files.Source, b.known)
	if err != nil {
		return nil, policy.Source{}, err
	}
	p, err := policy.Compile(source)
	if problems, ok := errors.AsType[policy.Problems](err); ok {
		err = conflictsOf(source, problems)
	}
	return p, source, err
}

func (b *Rulebook) enforceLocked(p *policy.Policy, source policy.Source) {
	b.source = source
	b.status.Store(&Status{Policy: p, Loaded: b.o.Now()})
}
