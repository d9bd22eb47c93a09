package rulebook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/scope"
)

// AddRule adds a rule to the database. The error is ErrExists if a file or the database has a
// rule of this name, and Problems if the rule is invalid.
func (b *Rulebook) AddRule(ctx context.Context, by Actor, c Content) (Rule, error) {
	r := Rule{Version: 1, Content: c}
	err := b.change(ctx, by, func(tx *sql.Tx) (*journal.Change, error) {
		if err := b.mayWriteRule(ctx, tx, by, &c); err != nil {
			return nil, err
		}
		if err := b.checkContent(ctx, tx, &c); err != nil {
			return nil, err
		}
		r.ID, r.Created = b.newID(), b.now()
		r.Changed = r.Created
		return &journal.Change{Action: "rule.add", Target: c.Name, To: map[string]any{"id": r.ID, "rule": journaled(&c)}}, insertRule(ctx, tx, &r)
	})
	if err != nil {
		return Rule{}, fmt.Errorf("adding rule %.80q: %w", c.Name, err)
	}
	return r, nil
}

// SetRule replaces a rule, possibly with another name. An equal rule is not changed.
func (b *Rulebook) SetRule(ctx context.Context, by Actor, name string, c Content, version int64) (r Rule, err error) {
	err = b.change(ctx, by, func(tx *sql.Tx) (*journal.Change, error) {
		if err := b.mayWriteRule(ctx, tx, by, &c); err != nil {
			return nil, err
		}
		if r, err = b.ruleToChange(ctx, tx, by, name, version); err != nil {
			return nil, err
		}
		if err := b.checkContent(ctx, tx, &c); err != nil {
			return nil, err
		}
		if c.Name != name {
			if _, err := findRule(ctx, tx, c.Name); !errors.Is(err, ErrNotFound) {
				return nil, errors.Join(err, ErrExists)
			}
		}
		if same(&r.Content, &c) {
			r.Unchanged = true
			return nil, nil
		}
		note := &journal.Change{Action: "rule.set", Target: name, From: map[string]any{"rule": journaled(&r.Content)}, To: map[string]any{"id": r.ID, "rule": journaled(&c)}}
		r.Content, r.Changed = c, b.now()
		r.Version++
		return note, updateRule(ctx, tx, &r)
	})
	if err != nil {
		return Rule{}, fmt.Errorf("changing rule %.80q: %w", name, err)
	}
	return r, nil
}

// DeleteRule deletes a rule from the database.
func (b *Rulebook) DeleteRule(ctx context.Context, by Actor, name string, version int64) error {
	err := b.change(ctx, by, func(tx *sql.Tx) (*journal.Change, error) {
		r, err := b.ruleToChange(ctx, tx, by, name, version)
		if err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM rulebook_rules WHERE id = $1", r.ID)
		return &journal.Change{Action: "rule.delete", Target: name, From: map[string]any{"id": r.ID, "rule": journaled(&r.Content)}}, err
	})
	if err != nil {
		return fmt.Errorf("deleting rule %.80q: %w", name, err)
	}
	return nil
}

// Rule returns a rule of the database.
func (b *Rulebook) Rule(ctx context.Context, by Actor, name string) (Rule, error) {
	if err := b.requireRight(by, RightPolicy, scope.Read); err != nil {
		return Rule{}, err
	}
	r, err := findRule(ctx, b.o.DB.Read(), name)
	if err != nil {
		return Rule{}, fmt.Errorf("looking up rule %.80q: %w", name, err)
	}
	return r, nil
}

// Rules returns the rules of the database, sorted by name, and where the next page begins.
func (b *Rulebook) Rules(ctx context.Context, by Actor, page Page) (list []Rule, next string, err error) {
	if err := b.requireRight(by, RightPolicy, scope.Read); err != nil {
		return nil, "", err
	}
	list, err = store.Collect(ctx, b.o.DB.Read(), scanRule, ruleQuery+" WHERE name > $1 ORDER BY name LIMIT $2", page.After, page.Size()+1)
	if err != nil {
		return nil, "", fmt.Errorf("listing rules: %w", err)
	}
	list, next = pageOf(list, page.Size(), func(r *Rule) string { return r.Name })
	return list, next, nil
}

func (b *Rulebook) ruleToChange(ctx context.Context, tx *sql.Tx, by Actor, name string, version int64) (Rule, error) {
	if err := b.requireRight(by, RightPolicy, scope.Write); err != nil {
		return Rule{}, err
	}
	r, err := findRule(ctx, tx, name)
	if err != nil {
		return Rule{}, err
	}
	if err := by.CheckSeen(r.ID, r.Version, version); err != nil {
		return Rule{}, err
	}
	return r, b.mayWriteRule(ctx, tx, by, &r.Content)
}

// mayWriteRule returns an error unless the actor may add and delete a rule. Rules about
// Tidewaiter itself require an administrator: otherwise, anybody who may write rules could
// become one.
func (b *Rulebook) mayWriteRule(_ context.Context, _ *sql.Tx, by Actor, c *Content) error {
	if err := b.requireRight(by, RightPolicy, scope.Write); err != nil {
		return err
	}
	if len(c.Tidewaiter) > 0 && !b.May(by, rightAdministrators, scope.Write) {
		return fmt.Errorf("a rule about Tidewaiter itself %w", Requires(rightAdministrators, scope.Write))
	}
	return nil
}

// checkContent checks a rule, and that no file has a rule of its name.
func (b *Rulebook) checkContent(ctx context.Context, tx *sql.Tx, c *Content) error {
	files := b.currentFiles()
	known, err := currentRoles(ctx, tx, files)
	if err != nil {
		return err
	}
	if err := check(c, b.o.When, known, files.Services); err != nil {
		return err
	}
	for i := range files.Source.Rules {
		if other := &files.Source.Rules[i]; other.Name == c.Name {
			return fmt.Errorf("%w, at %s", ErrExists, other.Origin)
		}
	}
	return nil
}

// currentRoles returns all roles that rules may name.
func currentRoles(ctx context.Context, tx *sql.Tx, files Files) (roles, error) {
	list, err := store.Collect(ctx, tx, scanRole, roleQuery+" WHERE namespace_id = ''")
	if err != nil {
		return nil, err
	}
	known := make(roles, len(list)+len(files.Source.Roles))
	for i := range list {
		known[list[i].Name] = list[i].compiled()
	}
	maps.Copy(known, files.Source.Roles)
	return known, nil
}
