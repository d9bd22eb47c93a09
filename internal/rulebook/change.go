package rulebook

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/scope"
)

// errBehind means that the database has changed since the policy was made that the actor was judged by.
var errBehind = errors.New("the policy is not the latest")

// change does something and journals it, all or nothing, and then brings it into force. f judges who does it, and is called
// again if the policy that it was judged by was not the latest: who was an owner a moment ago is one no more. A note of nil
// means that there is nothing to do.
func (b *Rulebook) change(ctx context.Context, by Actor, f func(*sql.Tx) (*journal.Change, error)) error {
	return b.changeWith(ctx, by, func(ctx context.Context, f func(*sql.Tx) error) error { return b.write(ctx, topic, f) }, f)
}

type writing func(ctx context.Context, f func(*sql.Tx) error) error

func (b *Rulebook) changeWith(ctx context.Context, by Actor, write writing, f func(*sql.Tx) (*journal.Change, error)) error {
	if b.o.DB == nil || b.o.Journal == nil {
		return errors.New("changing the rulebook: there is no journal to note it in")
	}
	if by.Narrowed() {
		return ErrForbidden
	}
	const tries = 5
	for try := 1; ; try++ {
		err := write(ctx, func(tx *sql.Tx) error {
			if try < tries && b.behind(ctx, tx) {
				return errBehind
			}
			note, err := f(tx)
			if err != nil || note == nil {
				return err
			}
			note.Actor = by.String()
			if via := by.Via("accounts"); via != "" {
				if note.To == nil {
					note.To = make(map[string]any)
				}
				note.To["via"] = via
			}
			return b.o.Journal.AppendTx(ctx, tx, journal.Entry{Time: b.o.Now(), Change: note})
		})
		// Also after an error, since what failed to commit may have been kept all the same.
		if failed := b.refresh(ctx); failed != nil && ctx.Err() == nil {
			b.o.Log.Warn("a change is not yet in force here", "error", failed)
		}
		if !errors.Is(err, errBehind) {
			return err
		}
	}
}

// behind says whether the database has changed since it was last read. Nobody changes it meanwhile: this transaction has
// raised the counter, and others wait for it. Who never read it is never behind: such a rulebook judges nobody but operators.
func (b *Rulebook) behind(ctx context.Context, tx *sql.Tx) bool {
	b.mu.Lock()
	known := b.known
	b.mu.Unlock()
	if known == nil {
		return false
	}
	n, err := counter(ctx, tx)
	return err == nil && n-1 != known.counter
}

// now is the time as it is kept.
func (b *Rulebook) now() time.Time { return at(b.o.Now().UnixMilli()) }

func (b *Rulebook) newID() string { return journal.NewID(b.o.Now()).String() }

// need is an error unless the actor has a right. Who may not even see the thing is told that it is not there.
func (b *Rulebook) need(by Actor, right string, actions scope.Actions) error {
	switch {
	case b.May(by, right, actions):
		return nil
	case actions == scope.Write && b.May(by, right, scope.Read):
		return ErrForbidden
	case right == RightPolicy, right == RightNamespaces:
		return ErrForbidden
	}
	return ErrNotFound
}

// filesNow is what files say at the moment.
func (b *Rulebook) filesNow() Files {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.files
}

// cut takes a page from a list that was read one longer than it, and says where the next one begins.
func cut[T any](list []T, size int, name func(*T) string) ([]T, string) {
	if len(list) <= size {
		return list, ""
	}
	list = list[:size]
	return list, name(&list[size-1])
}
