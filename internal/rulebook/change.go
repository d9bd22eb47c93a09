package rulebook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Why a transaction is given up that nothing is wrong with.
var (
	// errBehind means that others may have rights since the policy was made that the actor would be judged by.
	errBehind = errors.New("who has which rights is being changed")
	// errNothing means that all is already as it is wanted: then no counter is raised, and nobody makes a new policy.
	errNothing = errors.New("there is nothing to change")
)

// tries is how often an actor is judged anew while others change who has which rights.
const tries = 5

// change does something and journals it, all or nothing, and then brings it into force. f judges who does it, and is called
// again if the policy that it was judged by was not the latest: who was an owner a moment ago is one no more. A note of nil
// means that there is nothing to do, and nothing was done.
func (b *Rulebook) change(ctx context.Context, by Actor, f func(*sql.Tx) (*journal.Change, error)) error {
	return b.changeWith(ctx, by, func(ctx context.Context, f func(*sql.Tx) error) error { return b.write(ctx, topic, f) }, f)
}

type writing func(ctx context.Context, f func(*sql.Tx) error) error

func (b *Rulebook) changeWith(ctx context.Context, by Actor, write writing, f func(*sql.Tx) (*journal.Change, error)) error {
	if b.o.DB == nil || b.o.Journal == nil {
		return errors.New("changing the rulebook: there is no journal to note it in")
	}
	if by.Narrowed() {
		return ErrRestricted
	}
	for try := 1; ; try++ {
		var changes int64 // that the answer is true after
		err := write(ctx, func(tx *sql.Tx) error {
			now, err := count(ctx, tx) // nobody changes anything meanwhile: this transaction has raised the counter, and others wait for it
			if err != nil {
				return err
			}
			changes = now.changes - 1
			if b.behind(by, now) {
				return errBehind
			}
			note, err := f(tx)
			if err != nil {
				return err
			}
			if note == nil {
				return errNothing
			}
			changes++
			return b.note(ctx, tx, by, note)
		})
		// Also after an error, since what failed to commit may have been kept all the same.
		if failed := b.refresh(ctx, changes); failed != nil && ctx.Err() == nil {
			b.o.Log.Warn("a change is not yet in force here", "error", failed)
		}
		switch {
		case errors.Is(err, errNothing):
			return nil
		case !errors.Is(err, errBehind):
			return err
		case try == tries || ctx.Err() != nil:
			return fmt.Errorf("%w: %w", store.ErrBusy, err)
		}
	}
}

// note journals a change in its transaction, and counts it.
func (b *Rulebook) note(ctx context.Context, tx *sql.Tx, by Actor, c *journal.Change) error {
	if altersRights(c) {
		if err := b.o.DB.Bump(ctx, tx, rightsTopic); err != nil {
			return err
		}
	}
	c.Actor = by.String()
	if via := by.Via("accounts"); via != "" {
		if c.To == nil {
			c.To = make(map[string]any)
		}
		c.To["via"] = via
	}
	return b.o.Journal.AppendTx(ctx, tx, journal.Entry{Time: b.o.Now(), Change: c})
}

// behind says whether others may have rights since the policy was made that the actor is judged by. Operators are not judged; and who never
// loaded a policy judges nobody else.
func (b *Rulebook) behind(by Actor, now counters) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return by.operator == "" && b.known != nil && b.known.rights != now.rights
}

// altersRights says whether others may have rights over Tidewaiter after a change. What it does not know may alter them. Most of what owners do in
// their namespaces does not, so that it keeps nobody waiting who is judged.
func altersRights(c *journal.Change) bool {
	switch c.Action {
	case "namespace.set", "namespace.role.add", "namespace.role.set", "namespace.role.delete":
		return false
	case "namespace.member.set", "namespace.member.remove":
		return c.From["role"] == Owner || c.To["role"] == Owner
	case "rule.add", "rule.set", "rule.delete":
		return aboutTidewaiter(c.From) || aboutTidewaiter(c.To)
	}
	return true
}

// aboutTidewaiter says whether one side of a change is a rule about Tidewaiter itself.
func aboutTidewaiter(side map[string]any) bool {
	rule, written := side["rule"]
	words, known := rule.(map[string]any)
	return written && (!known || words["tidewaiter"] != nil)
}

// now is the time as it is kept.
func (b *Rulebook) now() time.Time { return at(b.o.Now().UnixMilli()) }

func (b *Rulebook) newID() string { return journal.NewID(b.o.Now()).String() }

// need is an error unless the actor has a right. Who may not even see the thing is told that it is not there.
func (b *Rulebook) need(by Actor, right string, actions scope.Actions) error {
	switch {
	case b.May(by, right, actions):
		return nil
	case actions == scope.Write && b.May(by, right, scope.Read), right == RightPolicy, right == RightNamespaces:
		return Requires(right, actions)
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
