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

// Reasons to roll back a transaction without an error.
var (
	// errPolicyStale means that rights over Tidewaiter may have changed since the policy in memory
	// was compiled.
	errPolicyStale = errors.New("rights are being changed")
	// errNoChange means that the state is already as requested. Without a commit, no replica
	// compiles a new policy.
	errNoChange = errors.New("there is nothing to change")
)

// maxAttempts is how often the actor's rights are checked again while others change rights.
const maxAttempts = 5

// change runs f in a transaction, journals the change, and then activates it. f checks the
// actor's rights. It is called again if the policy in memory was not the latest: the actor may
// have lost a right a moment ago. If f returns no change, nothing was done.
func (b *Rulebook) change(ctx context.Context, by Actor, f func(*sql.Tx) (*journal.Change, error)) error {
	return b.changeWith(ctx, by, func(ctx context.Context, f func(*sql.Tx) error) error { return b.write(ctx, topic, f) }, f)
}

type writing func(ctx context.Context, f func(*sql.Tx) error) error

func (b *Rulebook) changeWith(ctx context.Context, by Actor, write writing, f func(*sql.Tx) (*journal.Change, error)) error {
	if b.o.DB == nil || b.o.Journal == nil {
		return errors.New("changing the rulebook: there is no journal to note it in")
	}
	if by.Restricted() {
		return ErrRestricted
	}
	for try := 1; ; try++ {
		var changes int64 // the counter with which the change is visible
		err := write(ctx, func(tx *sql.Tx) error {
			// This transaction has raised the counter, so all other changes wait for it.
			now, err := count(ctx, tx)
			if err != nil {
				return err
			}
			changes = now.changes - 1
			if b.policyStale(by, now) {
				return errPolicyStale
			}
			note, err := f(tx)
			if err != nil {
				return err
			}
			if note == nil {
				return errNoChange
			}
			changes++
			return b.note(ctx, tx, by, note)
		})
		// Also after an error, because a failed commit may have been stored.
		if failed := b.refresh(ctx, changes); failed != nil && ctx.Err() == nil {
			b.o.Log.Warn("a change is not yet in force here", "error", failed)
		}
		switch {
		case errors.Is(err, errNoChange):
			return nil
		case !errors.Is(err, errPolicyStale):
			return err
		case try == maxAttempts || ctx.Err() != nil:
			return fmt.Errorf("%w: %w", store.ErrBusy, err)
		}
	}
}

// note journals a change in its transaction and counts it.
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

// policyStale reports whether rights over Tidewaiter may have changed since the policy in memory
// was compiled. It is false for operators, whose rights do not depend on it, and if no policy
// was loaded yet.
func (b *Rulebook) policyStale(by Actor, now counters) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return by.operator == "" && b.known != nil && b.known.rights != now.rights
}

// altersRights reports whether a change may change rights over Tidewaiter. Unknown actions may.
// Most changes that owners make in their namespaces do not, so they cause no new checks of other
// actors.
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

// aboutTidewaiter reports whether one side of a change is a rule about Tidewaiter itself.
func aboutTidewaiter(side map[string]any) bool {
	rule, written := side["rule"]
	words, known := rule.(map[string]any)
	return written && (!known || words["tidewaiter"] != nil)
}

// now returns the time as it is stored.
func (b *Rulebook) now() time.Time { return at(b.o.Now().UnixMilli()) }

func (b *Rulebook) newID() string { return journal.NewID(b.o.Now()).String() }

// requireRight returns an error unless the actor has a right. An actor that may not even see the
// object gets ErrNotFound.
func (b *Rulebook) requireRight(by Actor, right string, actions scope.Actions) error {
	switch {
	case b.May(by, right, actions):
		return nil
	case actions == scope.Write && b.May(by, right, scope.Read), right == RightPolicy, right == RightNamespaces:
		return Requires(right, actions)
	}
	return ErrNotFound
}

// currentFiles returns the files that are in force.
func (b *Rulebook) currentFiles() Files {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.files
}

// pageOf returns a page of a list that was read with one item more, and where the next page
// begins.
func pageOf[T any](list []T, size int, name func(*T) string) ([]T, string) {
	if len(list) <= size {
		return list, ""
	}
	list = list[:size]
	return list, name(&list[size-1])
}
