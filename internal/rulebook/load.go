package rulebook

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
)

// topic is the database's counter of all changes of the rulebook. rightsTopic counts only the
// changes that can alter rights over Tidewaiter.
const (
	topic       = "rulebook"
	rightsTopic = "rulebook.rights"
)

// readTimeout is the time that Reload waits for the database before it uses the content that it
// read before.
const readTimeout = 10 * time.Second

// Load reads the database and compiles the first policy. The error is an error of the database, or
// Conflicts. After an error there is no policy.
func (b *Rulebook) Load(ctx context.Context) error {
	if err := b.limiter.acquire(ctx); err != nil {
		return err
	}
	defer b.limiter.release()
	c, err := b.latestContents(ctx)
	if err != nil {
		return fmt.Errorf("loading the policy: %w", err)
	}
	p, source, err := compile(b.files, c)
	if err != nil {
		return err
	}
	b.activate(b.files, c, p, source)
	return nil
}

// Reload compiles a policy of new files and the current database. It calls the function swap with
// the new policy before the policy is visible. No other policy is activated during this call. On
// an error, Reload does not call swap and nothing changes. If the database does not answer, Reload
// uses the content that was read before.
func (b *Rulebook) Reload(ctx context.Context, files Files, swap func(*policy.Policy)) error {
	if err := b.limiter.acquire(ctx); err != nil {
		return err
	}
	defer b.limiter.release()
	reading, end := context.WithTimeout(ctx, readTimeout)
	c, err := b.latestContents(reading)
	end()
	if err != nil && b.known == nil {
		return fmt.Errorf("loading the policy: %w", err)
	}
	if err != nil {
		b.o.Log.Warn("cannot read the database's rules; the rules that were read before stay in force", "error", err)
		c = b.known
	}
	p, source, err := compile(files, c)
	if err != nil {
		return err
	}
	swap(p)
	b.activate(files, c, p, source)
	return nil
}

// Run applies changes that other processes make in the database, and stores the versions of the
// policy. It returns the error of ctx when ctx ends. Several calls can run at the same time.
func (b *Rulebook) Run(ctx context.Context) error {
	if b.o.DB == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	versionsDone := make(chan struct{})
	go func() {
		defer close(versionsDone)
		b.storeVersions(ctx)
	}()
	defer func() { <-versionsDone }()
	return b.o.DB.Watch(ctx, []string{topic}, func(string) {
		for failing := false; ; failing = true {
			err := b.refresh(ctx, math.MaxInt64)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil && failing:
				b.o.Log.Info("the database's rules can be read again")
				return
			case err == nil:
				return
			case !failing:
				b.o.Log.Warn("cannot read the database's rules; the rules that were read before stay in force", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	})
}

// refresh compiles a new policy if the policy in force was compiled before the database's counter
// of changes reached the given value. An error that refresh returns is an error of the database.
// If the new policy does not compile, Status reports this.
func (b *Rulebook) refresh(ctx context.Context, changes int64) error {
	if err := b.limiter.acquire(ctx); err != nil {
		return err
	}
	defer b.limiter.release()
	if b.known == nil || b.known.changes >= changes {
		return nil // Load was not called yet, or another call has already compiled the changes
	}
	if stale, err := b.databaseChanged(ctx); err != nil || !stale {
		return err
	}
	if err := b.limiter.cooldown(ctx); err != nil {
		return err
	}
	defer b.limiter.startCooldown(time.Now())
	c, err := b.latestContents(ctx)
	if err != nil {
		return err
	}
	p, source, err := compile(b.files, c)
	if err != nil {
		b.recordConflict(c, err)
		return nil
	}
	if b.o.Changed != nil {
		b.o.Changed(p)
	}
	b.activate(b.files, c, p, source)
	b.o.Log.Info("the policy has changed in the database", "rules", p.Len(), "policy", p.ID())
	return nil
}

// databaseChanged reports whether the database has changed since it was read.
func (b *Rulebook) databaseChanged(ctx context.Context) (bool, error) {
	if b.known == nil {
		return true, nil
	}
	now, err := count(ctx, b.o.DB.Read())
	return now != b.known.counters, err
}

// latestContents returns the current content of the database.
func (b *Rulebook) latestContents(ctx context.Context) (*contents, error) {
	if b.o.DB == nil {
		return new(contents), nil
	}
	if stale, err := b.databaseChanged(ctx); err != nil || !stale {
		return b.known, err
	}
	c, err := readContents(ctx, b.o.DB)
	if err != nil {
		return nil, err
	}
	if err := c.compile(b.o.When); err != nil {
		return c, err
	}
	for i := range c.rules {
		if err := Unreadable(c.rules[i].When); err != nil {
			b.o.Log.Error("cannot compile the condition of a rule of the database: a deny rule with this condition always matches, an allow rule never matches",
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

// activate puts a policy into force. A caller that sees the new value of b.known also sees the
// policy that was compiled from this value.
func (b *Rulebook) activate(files Files, c *contents, p *policy.Policy, source policy.Source) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.o.Now()
	b.status.Store(&Status{Policy: p, Loaded: at})
	b.files, b.known, b.source = files, c, source
	b.recordActivation(activation{p.ID(), files.ID, at, &source})
}

// recordConflict records the error that prevents the current content of the database from taking
// effect.
func (b *Rulebook) recordConflict(c *contents, err error) {
	status := b.Status()
	if status.Problem == nil || status.Problem.Error() != err.Error() {
		b.o.Log.Error("cannot compile a new policy; the last valid policy stays in force", "error", err)
	}
	status.Problem = err
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Store(&status)
	b.known = c
}
