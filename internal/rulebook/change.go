package rulebook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/scope"
)

// errPolicyStale rolls back a transaction if rights over Tidewaiter have possibly changed since
// the policy in memory was compiled.
var errPolicyStale = errors.New("rights are being changed")

// maxAttempts is the maximum number of checks of the actor's rights. A check is repeated if other
// actors have changed rights in the meantime.
const maxAttempts = 5

// commitChange runs f in a transaction, journals the change that f returns, and then puts the
// change into force. f checks the actor's rights. If the policy in memory was not the newest,
// commitChange calls f again, because the actor could have lost a right in the meantime. If f
// returns nil, f has changed nothing.
//
// A topic is a counter of changes in the database. If the transaction also raises the counters of
// other topics, commitChange locks those topics first. Every transaction that raises several
// counters uses this order.
func (b *Rulebook) commitChange(ctx context.Context, by admin.Actor, f func(*sql.Tx) (*journal.Change, error), otherTopics ...string) error {
	if by.Restricted() {
		return admin.ErrRestricted
	}
	topics := append(otherTopics, topic)
	for try := 1; ; try++ {
		var changes int64 // the value of the counter after this change
		err := b.writer.Change(ctx, topics[0], by, func(tx *sql.Tx) (*journal.Change, error) {
			if err := b.bump(ctx, tx, topics[1:]...); err != nil {
				return nil, err
			}
			// This transaction has raised the counter, so all other changes wait for it.
			now, err := count(ctx, tx)
			if err != nil {
				return nil, err
			}
			changes = now.changes - 1
			if b.policyStale(by, now) {
				return nil, errPolicyStale
			}
			c, err := f(tx)
			if err != nil || c == nil {
				return nil, err
			}
			changes++
			if altersRights(c) {
				err = b.bump(ctx, tx, rightsTopic)
			}
			return c, err
		})
		// Refresh after an error, too, because the commit can be stored although it was reported
		// as failed.
		if failed := b.refresh(ctx, changes); failed != nil && ctx.Err() == nil {
			b.o.Log.Warn("a change is stored, but is not yet in force in this process", "error", failed)
		}
		switch {
		case !errors.Is(err, errPolicyStale):
			return err
		case try == maxAttempts || ctx.Err() != nil:
			return fmt.Errorf("%w: %w", store.ErrBusy, err)
		}
	}
}

func (b *Rulebook) bump(ctx context.Context, tx *sql.Tx, topics ...string) error {
	for _, topic := range topics {
		if err := b.o.DB.Bump(ctx, tx, topic); err != nil {
			return err
		}
	}
	return nil
}

// policyStale reports whether rights over Tidewaiter have possibly changed since the policy in
// memory was compiled. It returns false if no policy is loaded yet. It also returns false for
// operators, because the rights of operators do not depend on the policy.
func (b *Rulebook) policyStale(by admin.Actor, now counters) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !by.IsOperator() && b.known != nil && b.known.rights != now.rights
}

// altersRights reports whether a change can alter rights over Tidewaiter. For unknown actions it
// returns true. Most changes by owners of namespaces do not alter rights, so these changes do not
// cause new checks of other actors.
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

// aboutTidewaiter reports whether the state of an object before or after a change is a rule
// about Tidewaiter itself. If the rule cannot be read, it returns true.
func aboutTidewaiter(side map[string]any) bool {
	rule, written := side["rule"]
	words, known := rule.(map[string]any)
	return written && (!known || words["tidewaiter"] != nil)
}

// requireRight returns an error if the actor does not have the right to perform the actions on
// tidewaiter:RIGHT. If the right is over a namespace that the actor may not read, the error is
// ErrNotFound.
func (b *Rulebook) requireRight(by admin.Actor, right string, actions scope.Actions) error {
	switch {
	case b.May(by, right, actions):
		return nil
	case actions == scope.Write && b.May(by, right, scope.Read), right == admin.RightPolicy, right == admin.RightNamespaces:
		return admin.Requires(right, actions)
	}
	return &admin.NotFoundError{Kind: "namespace", Name: strings.TrimPrefix(right, admin.RightNamespace)}
}

// currentFiles returns the files that are in force.
func (b *Rulebook) currentFiles() Files {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.files
}
