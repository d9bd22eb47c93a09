package rulebook

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/scope"
)

// AddRule adds a rule to the database. The error is ErrExists if a file or the database has a rule
// of this name. It is ruleset.Problems if the rule is invalid.
func (b *Rulebook) AddRule(ctx context.Context, by admin.Actor, c Content) (_ Rule, err error) {
	defer admin.Wrap(&err, "adding rule %.80q", c.Name)
	r := Rule{Version: 1, Content: c}
	err = b.commitChange(ctx, by, func(tx *sql.Tx) (*journal.Change, error) {
		if err := b.mayWriteRule(by, &c); err != nil {
			return nil, err
		}
		if err := b.checkContent(ctx, tx, &c); err != nil {
			return nil, err
		}
		r.ID, r.Created = b.writer.NewID(), b.writer.Time()
		r.Changed = r.Created
		return &journal.Change{Action: "rule.add", Target: c.Name, To: map[string]any{"id": r.ID, "rule": journalForm(&c)}}, insertRule(ctx, tx, &r)
	})
	return r, err
}

// SetRule replaces a rule. The new rule can have another name. If the rule does not change,
// nothing is written.
func (b *Rulebook) SetRule(ctx context.Context, by admin.Actor, name string, c Content, version int64) (r Rule, err error) {
	defer admin.Wrap(&err, "changing rule %.80q", name)
	err = b.commitChange(ctx, by, func(tx *sql.Tx) (*journal.Change, error) {
		if err := b.mayWriteRule(by, &c); err != nil {
			return nil, err
		}
		if r, err = b.ruleToChange(ctx, tx, by, name, version); err != nil {
			return nil, err
		}
		if err := b.checkContent(ctx, tx, &c); err != nil {
			return nil, err
		}
		if c.Name != name {
			if _, err := findRule(ctx, tx, c.Name); !errors.Is(err, admin.ErrNotFound) {
				return nil, errors.Join(err, admin.ErrExists)
			}
		}
		if equalContents(&r.Content, &c) {
			r.Unchanged = true
			return nil, nil
		}
		note := &journal.Change{Action: "rule.set", Target: name, From: map[string]any{"rule": journalForm(&r.Content)}, To: map[string]any{"id": r.ID, "rule": journalForm(&c)}}
		r.Content, r.Changed = c, b.writer.Time()
		r.Version++
		return note, updateRule(ctx, tx, &r)
	})
	return r, err
}

// DeleteRule deletes a rule from the database.
func (b *Rulebook) DeleteRule(ctx context.Context, by admin.Actor, name string, version int64) (err error) {
	defer admin.Wrap(&err, "deleting rule %.80q", name)
	return b.commitChange(ctx, by, func(tx *sql.Tx) (*journal.Change, error) {
		r, err := b.ruleToChange(ctx, tx, by, name, version)
		if err != nil {
			return nil, err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM rulebook_rules WHERE id = $1", r.ID)
		return &journal.Change{Action: "rule.delete", Target: name, From: map[string]any{"id": r.ID, "rule": journalForm(&r.Content)}}, err
	})
}

// Rule returns a rule of the database.
func (b *Rulebook) Rule(ctx context.Context, by admin.Actor, name string) (_ Rule, err error) {
	defer admin.Wrap(&err, "looking up rule %.80q", name)
	if err := b.requireRight(by, admin.RightPolicy, scope.Read); err != nil {
		return Rule{}, err
	}
	return findRule(ctx, b.o.DB.Read(), name)
}

// Rules returns the rules of the database, sorted by name, and where the next page begins.
func (b *Rulebook) Rules(ctx context.Context, by admin.Actor, page admin.Page) (list []Rule, next string, err error) {
	defer admin.Wrap(&err, "listing rules")
	if err := b.requireRight(by, admin.RightPolicy, scope.Read); err != nil {
		return nil, "", err
	}
	return admin.List(ctx, b.o.DB.Read(), page, scanRule, func(r *Rule) string { return r.Name }, ruleQuery+" WHERE name > $1 ORDER BY name LIMIT $2")
}

func (b *Rulebook) ruleToChange(ctx context.Context, tx *sql.Tx, by admin.Actor, name string, version int64) (Rule, error) {
	if err := b.requireRight(by, admin.RightPolicy, scope.Write); err != nil {
		return Rule{}, err
	}
	r, err := findRule(ctx, tx, name)
	return r, cmp.Or(err, by.CheckSeen(r.ID, r.Version, version), b.mayWriteRule(by, &r.Content))
}

// mayWriteRule returns an error if the actor may not add and delete the rule. For rules about
// Tidewaiter itself, the actor must be an administrator. Otherwise anybody who may write rules
// could become an administrator.
func (b *Rulebook) mayWriteRule(by admin.Actor, c *Content) error {
	if err := b.requireRight(by, admin.RightPolicy, scope.Write); err != nil {
		return err
	}
	if len(c.Tidewaiter) > 0 && !b.May(by, admin.RightAdministrators, scope.Write) {
		return fmt.Errorf("a rule about Tidewaiter itself %w", admin.Requires(admin.RightAdministrators, scope.Write))
	}
	return nil
}

// checkContent checks a rule, and that no file has a rule of the same name.
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
			return fmt.Errorf("%w, at %s", admin.ErrExists, other.Origin)
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
		known[list[i].Name] = list[i].policyRole()
	}
	maps.Copy(known, files.Source.Roles)
	return known, nil
}
