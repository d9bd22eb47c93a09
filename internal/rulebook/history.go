package rulebook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Period is a time in which one policy was in force.
type Period struct {
	Policy string // its ID
	Since  time.Time
	Until  time.Time // zero: the policy is still in force
	// Changed is the part that differs from the previous policy: "files" or "database". It is
	// "first" if no earlier policy is recorded. Only History sets it.
	Changed string

	// Source and Compiled are the policy. History does not set them.
	Source   policy.Source
	Compiled *policy.Policy

	files string // Files.ID
}

// NotRecordedError means that the policy of a time is not recorded, or that the rules of this
// policy are not stored. It matches admin.ErrNotFound.
type NotRecordedError struct {
	At     time.Time
	Begins time.Time // the beginning of the history; zero: the history is empty
	Policy string    // the policy that was in force, if only its rules are missing
}

func (e *NotRecordedError) Error() string {
	at := e.At.UTC().Format(time.RFC3339)
	switch {
	case e.Policy != "":
		return fmt.Sprintf("policy %s was in force at %s, and its rules are not stored", e.Policy, at)
	case e.Begins.IsZero():
		return fmt.Sprintf("no policy is recorded for %s: the history is empty", at)
	}
	return fmt.Sprintf("no policy is recorded for %s: the history begins at %s", at, e.Begins.UTC().Format(time.RFC3339))
}

// Is reports whether target is admin.ErrNotFound.
func (e *NotRecordedError) Is(target error) bool { return target == admin.ErrNotFound } //nolint:errorlint // errors.Is requires it

func scanPeriod(row store.Row) (p Period, err error) {
	var since int64
	err = row.Scan(&since, &p.Policy, &p.files)
	p.Since = store.Time(since)
	return p, err
}

// History returns the periods of all policies that were in force, the newest first. A policy is in
// the history at most ten seconds after it took effect.
func (b *Rulebook) History(ctx context.Context, page admin.Page) (list []Period, next string, err error) {
	before := int64(math.MaxInt64)
	if page.After != "" {
		if before, err = strconv.ParseInt(page.After, 10, 64); err != nil {
			return nil, "", &admin.InvalidError{Field: "after", Text: "not a value of the field next of a page"}
		}
	}
	if b.o.DB == nil {
		return nil, "", nil
	}
	list, err = store.Collect(ctx, b.o.DB.Read(), scanPeriod,
		"SELECT since, policy, files FROM rulebook_history WHERE since < $1 ORDER BY since DESC LIMIT $2", before, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("reading the history of the policy: %w", err)
	}
	for i := range list {
		p := &list[i]
		switch {
		case i > 0:
			p.Until = list[i-1].Since
		case page.After != "":
			p.Until = store.Time(before)
		}
		switch {
		case i == len(list)-1:
			p.Changed = "first"
		case p.files != list[i+1].files:
			p.Changed = "files"
		default:
			p.Changed = "database"
		}
	}
	if size := page.Size(); len(list) > size {
		list = list[:size]
		next = strconv.FormatInt(store.Millis(list[size-1].Since), 10)
	}
	return list, next, nil
}

// At returns the policy that was in force at the given time. For times in the future, this is the
// current policy. The error is a NotRecordedError if the history begins later, or if the rules of
// the policy are not stored or no longer stored.
func (b *Rulebook) At(ctx context.Context, at time.Time) (Period, error) {
	past, found, err := b.inMemory(func(p Period) bool { return !at.Before(p.Since) })
	switch {
	case found || err != nil:
		return past, err
	case past.Policy != "":
		return Period{}, &NotRecordedError{At: at, Policy: past.Policy}
	case b.o.DB == nil:
		return Period{}, &NotRecordedError{At: at}
	}
	p, err := b.period(ctx, "since <= $1 ORDER BY since DESC", store.Millis(at))
	if errors.Is(err, admin.ErrNotFound) {
		p, err = b.period(ctx, "since > $1 ORDER BY since", store.Millis(at))
		if err == nil || errors.Is(err, admin.ErrNotFound) {
			err = &NotRecordedError{At: at, Begins: p.Since}
		}
	}
	if err != nil {
		return Period{}, err
	}
	past, err = b.restore(ctx, p)
	if errors.Is(err, admin.ErrNotFound) {
		err = &NotRecordedError{At: at, Policy: p.Policy}
	}
	return past, err
}

// inMemory looks for a match among the period of the policy in force and the periods that are not
// stored yet. It returns the newest match. If it returns false and a zero period, a match can only
// be in the database. If the rules of the matching policy are lost, it returns false and the
// period of this policy.
func (b *Rulebook) inMemory(matches func(Period) bool) (past Period, found bool, err error) {
	current := b.current()
	if matches(current) {
		return current, true, nil
	}
	b.mu.Lock()
	waiting := slices.Clone(b.unstored)
	b.mu.Unlock()
	until := current.Since
	for _, a := range slices.Backward(waiting) {
		past := Period{Policy: a.id, Since: a.at, Until: until}
		until = a.at
		if !matches(past) {
			continue
		}
		if a.source == nil {
			return past, false, nil
		}
		past.Source = *a.source
		past.Compiled, err = policy.Compile(past.Source)
		return past, err == nil, err
	}
	return Period{}, false, nil
}

// current returns the policy in force.
func (b *Rulebook) current() Period {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.Status()
	return Period{Policy: s.Policy.ID(), Since: s.Loaded, Source: b.source, Compiled: s.Policy}
}

// setSince sets Since of the current policy to the time at which it took effect according to the
// history. This can be before the start of this process. If the history does not have this time
// and the rulebook has no journal, Since becomes zero. A rulebook without a journal does not
// belong to a running service, so its policy was possibly never in force.
func (b *Rulebook) setSince(ctx context.Context, past Period) (Period, error) {
	p, err := b.period(ctx, "since = (SELECT max(since) FROM rulebook_history WHERE policy = $1)", past.Policy)
	switch {
	case err == nil && p.Until.IsZero():
		past.Since, past.files = p.Since, p.files
	case err != nil && !errors.Is(err, admin.ErrNotFound):
		return Period{}, err
	case b.o.Journal == nil:
		past.Since = time.Time{}
	}
	return past, nil
}

// restore reads and compiles the policy of the period p.
func (b *Rulebook) restore(ctx context.Context, p Period) (_ Period, err error) {
	if p.Source, err = b.Version(ctx, p.Policy); err == nil {
		p.Compiled, err = policy.Compile(p.Source)
	}
	return p, err
}

// period returns the first period of the history that matches the SQL condition. The error is
// ErrNotFound if no period matches.
func (b *Rulebook) period(ctx context.Context, condition string, arg any) (p Period, err error) {
	defer admin.Wrap(&err, "reading the history of the policy")
	q := b.o.DB.Read()
	p, err = admin.OrNotFound(scanPeriod(q.QueryRowContext(ctx, "SELECT since, policy, files FROM rulebook_history WHERE "+condition+" LIMIT 1", arg)))
	if err != nil {
		return p, err
	}
	var until sql.NullInt64
	err = q.QueryRowContext(ctx, "SELECT min(since) FROM rulebook_history WHERE since > $1", store.Millis(p.Since)).Scan(&until)
	p.Until = store.Time(until.Int64)
	return p, err
}

// Find returns the policy with the given ID, and the newest period in which this policy was in
// force. The ID "" stands for the current policy. The error is ErrNotFound if the rules of the
// policy are not stored or no longer stored.
func (b *Rulebook) Find(ctx context.Context, id string) (Period, error) {
	past, found, err := b.inMemory(func(p Period) bool { return id == "" || id == p.Policy })
	switch {
	case found && b.o.DB != nil:
		return b.setSince(ctx, past)
	case found || err != nil:
		return past, err
	case b.o.DB == nil:
		return Period{}, &admin.NotFoundError{Kind: "policy", Name: id}
	}
	p, err := b.period(ctx, "policy = $1 ORDER BY since DESC", id)
	if errors.Is(err, admin.ErrNotFound) { // the policy was stored before there was a history
		p, err = Period{Policy: id}, nil
	}
	if err != nil {
		return Period{}, err
	}
	return b.restore(ctx, p)
}
