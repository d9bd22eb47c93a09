package rulebook

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// topic is what the database counts our changes under, and rightsTopic those among them after which others may have rights over
// Tidewaiter.
const (
	topic       = "rulebook"
	rightsTopic = "rulebook.rights"
)

// readingTakes is how long it may take to read the database before what was read last is taken.
const readingTakes = 10 * time.Second

// Load reads the database and makes the first policy. Without it there is none: the error is that of the database, or Conflicts.
func (b *Rulebook) Load(ctx context.Context) error {
	if err := b.turn.take(ctx); err != nil {
		return err
	}
	defer b.turn.give()
	c, err := b.latest(ctx)
	if err != nil {
		return fmt.Errorf("loading the policy: %w", err)
	}
	p, source, err := compile(b.files, c)
	if err != nil {
		return err
	}
	b.enforce(b.files, c, p, source)
	return nil
}

// Reload takes what files say now, with what the database holds. swap is called with the new policy before anybody
// else sees it, and nothing else comes into force meanwhile. If anything is wrong, swap is not called and all stays as it
// was. A database that does not answer is taken to hold what it held.
func (b *Rulebook) Reload(ctx context.Context, files Files, swap func(*policy.Policy)) error {
	if err := b.turn.take(ctx); err != nil {
		return err
	}
	defer b.turn.give()
	reading, end := context.WithTimeout(ctx, readingTakes)
	c, err := b.latest(reading)
	end()
	if err != nil && b.known == nil {
		return fmt.Errorf("loading the policy: %w", err)
	}
	if err != nil {
		b.o.Log.Warn("the database's rules cannot be read; those that were read last hold", "error", err)
		c = b.known
	}
	p, source, err := compile(files, c)
	if err != nil {
		return err
	}
	swap(p)
	b.enforce(files, c, p, source)
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
			err := b.refresh(ctx, math.MaxInt64)
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

// refresh makes a new policy if the database has changed, and the one in force does not know of so many changes. The error is that of
// the database: what does not compile is told in Status.
func (b *Rulebook) refresh(ctx context.Context, changes int64) error {
	if err := b.turn.take(ctx); err != nil {
		return err
	}
	defer b.turn.give()
	if b.known == nil || b.known.changes >= changes {
		return nil // Load comes first; or who had the turn before made it
	}
	if stale, err := b.stale(ctx); err != nil || !stale {
		return err
	}
	if err := b.turn.rest(ctx); err != nil {
		return err
	}
	defer b.turn.tire(time.Now())
	c, err := b.latest(ctx)
	if err != nil {
		return err
	}
	p, source, err := compile(b.files, c)
	if err != nil {
		b.contradict(c, err)
		return nil
	}
	if b.o.Changed != nil {
		b.o.Changed(p)
	}
	b.enforce(b.files, c, p, source)
	b.o.Log.Info("the policy has changed in the database", "rules", p.Len(), "policy", p.ID())
	return nil
}

// stale says whether the database has changed since it was read.
func (b *Rulebook) stale(ctx context.Context) (bool, error) {
	if b.known == nil {
		return true, nil
	}
	now, err := count(ctx, b.o.DB.Read())
	return now != b.known.counters, err
}

// latest is what the database holds.
func (b *Rulebook) latest(ctx context.Context) (*contents, error) {
	if b.o.DB == nil {
		return new(contents), nil
	}
	if stale, err := b.stale(ctx); err != nil || !stale {
		return b.known, err
	}
	c, err := read(ctx, b.o.DB)
	if err != nil {
		return nil, err
	}
	if err := c.compile(b.o.When); err != nil {
		return c, err
	}
	for i := range c.rules {
		if err := Unreadable(c.rules[i].When); err != nil {
			b.o.Log.Error("the condition of a rule of the database cannot be read: it takes effect if it denies, and never if it allows",
				"rule", c.rules[i].Name, "error", err)
		}
	}
	return c, nil
}

func compile(files Files, c *contents) (*policy.Policy, policy.Source, error) {
	source, err := merge(files.Source, c)
	if err != nil {
		return nil, policy.Source{}, err
	}
	p, err := policy.Compile(source)
	if problems, ok := errors.AsType[policy.Problems](err); ok {
		err = conflictsOf(source, problems)
	}
	return p, source, err
}

// enforce brings a policy into force. Whoever sees what is known sees the policy that was made of it.
func (b *Rulebook) enforce(files Files, c *contents, p *policy.Policy, source policy.Source) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Store(&Status{Policy: p, Loaded: b.o.Now()})
	b.files, b.known, b.source = files, c, source
}

// contradict notes why what the database holds now cannot come into force.
func (b *Rulebook) contradict(c *contents, err error) {
	status := b.Status()
	if status.Problem == nil || status.Problem.Error() != err.Error() {
		b.o.Log.Error("the last good policy stays in force", "error", err)
	}
	status.Problem = err
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Store(&status)
	b.known = c
}
