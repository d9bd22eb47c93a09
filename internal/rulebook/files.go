package rulebook

import (
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

const (
	systemActor = "tidewaiter" // the actor of changes that were not made through Tidewaiter
	loadAction  = "policy.load"
)

const (
	// recordTimeout is the maximum time that a start or a reload waits until the files are
	// recorded.
	recordTimeout = 5 * time.Second
	// maxNames is the maximum number of names in each list of an entry. Without it, an entry
	// about many new rules would exceed the size of a journal block.
	maxNames = 50
	// maxTargets is the maximum number of files in the target of an entry.
	maxTargets = 3
)

// RecordFiles journals that the rules of files have taken effect. If these files are recorded in
// the database already, RecordFiles does nothing. So a restart adds no entry, and several replicas
// with the same files add only one entry. A failed write is repeated while Run runs. The entry has
// the digests of the old and the new files (Files.ID), and the names of roles and rules that were
// added, changed and removed.
func (b *Rulebook) RecordFiles(ctx context.Context) {
	b.mu.Lock()
	files, at := b.files, b.waitSince
	done := b.o.DB == nil || b.o.Journal == nil || files.ID == "" || files.ID == b.recorded
	if done {
		b.waitSince = time.Time{}
	}
	b.mu.Unlock()
	if done {
		return
	}
	if at.IsZero() {
		at = b.o.Now()
	}
	writing, end := context.WithTimeout(ctx, recordTimeout)
	err := b.recordFiles(writing, files, b.Policy().ID(), at)
	end()
	b.mu.Lock()
	first := b.waitSince.IsZero()
	b.waitSince = at
	if err == nil {
		b.recorded, b.waitSince = files.ID, time.Time{}
	}
	b.mu.Unlock()
	switch {
	case err != nil && first:
		b.o.Log.Warn("cannot yet record in the journal that rules of files came into force", "error", err)
	case err == nil && !first:
		b.o.Log.Info("journaled that rules of files came into force")
	}
}

// retryRecordFiles calls RecordFiles again if it has failed.
func (b *Rulebook) retryRecordFiles(ctx context.Context) {
	b.mu.Lock()
	waits := !b.waitSince.IsZero()
	b.mu.Unlock()
	if waits {
		b.RecordFiles(ctx)
	}
}

func (b *Rulebook) recordFiles(ctx context.Context, files Files, inForce string, at time.Time) error {
	// Most starts end here, without a write.
	last, err := admin.OrNotFound(store.Text(b.o.DB.Read().QueryRowContext(ctx, "SELECT digest FROM rulebook_files WHERE one = 1")))
	switch {
	case errors.Is(err, admin.ErrNotFound) && len(files.Source.Rules)+len(files.Source.Roles) == 0:
		return nil // there are and were no rules in files
	case err != nil && !errors.Is(err, admin.ErrNotFound):
		return err
	case last == files.ID:
		return nil
	}
	after := storedForm(files.Source)
	packed, err := pack(after, gzip.BestSpeed)
	if err != nil {
		return err
	}
	return b.writer.Write(ctx, "", func(tx *sql.Tx) error {
		// Write the row before reading it, so that other replicas wait here.
		_, err := tx.ExecContext(ctx, "INSERT INTO rulebook_files (one, digest, since, source) VALUES (1, '', 0, $1) ON CONFLICT (one) DO UPDATE SET one = 1", packed)
		if err != nil {
			return err
		}
		var last string
		var source []byte
		if err := tx.QueryRowContext(ctx, "SELECT digest, source FROM rulebook_files WHERE one = 1").Scan(&last, &source); err != nil {
			return err
		}
		if last == files.ID {
			return nil
		}
		var before storedSource
		if last != "" {
			before, err = unpack(source)
		}
		change := filesChange(before, after)
		if err != nil { // the entry only records that the files have changed
			b.o.Log.Warn("cannot read the recorded rules of files", "policy", last, "error", err)
			change = &journal.Change{Actor: systemActor, Action: loadAction, Target: "files", To: map[string]any{"rules": len(after.Rules)}}
		}
		if _, err := tx.ExecContext(ctx, "UPDATE rulebook_files SET digest = $1, since = $2, source = $3 WHERE one = 1", files.ID, store.Millis(at), packed); err != nil {
			return err
		}
		change.To["policy"], change.To["in_force"] = files.ID, inForce
		if last != "" {
			change.From = map[string]any{"policy": last}
		}
		return b.o.Journal.AppendTx(ctx, tx, journal.Entry{Time: at, Change: change})
	})
}

// filesChange returns the journal entry for a change of the rules of files, from the rules that
// were in force to the new rules.
func filesChange(before, after storedSource) *journal.Change {
	to := map[string]any{"rules": len(after.Rules)}
	name := func(key string, names []string) {
		if len(names) == 0 {
			return
		}
		slices.Sort(names)
		to[key] = names[:min(len(names), maxNames)]
		if more := len(names) - maxNames; more > 0 {
			to[key+"_more"] = more
		}
	}
	was, is := byName(before), byName(after)
	added, changed, removed := difference(was, is, (*shortRule).equal)
	rolesAdded, rolesChanged, rolesRemoved := difference(before.Roles, after.Roles, func(a, b shortRole) bool { return a == b })
	affected := slices.Concat(added, changed, removed)
	files := make(map[string]bool)
	for _, rules := range []map[string]*shortRule{was, is} {
		for _, name := range affected {
			if r := rules[name]; r != nil {
				files[r.File] = true
			}
		}
	}
	if len(affected)+len(rolesAdded)+len(rolesChanged)+len(rolesRemoved) == 0 {
		to["reordered"] = true // the order affects only which rule a decision names
	}
	name("added", added)
	name("changed", changed)
	name("removed", removed)
	name("roles_added", rolesAdded)
	name("roles_changed", rolesChanged)
	name("roles_removed", rolesRemoved)
	where := slices.Sorted(maps.Keys(files))
	name("files", where)
	target := "files"
	if len(where) > 0 {
		target = strings.Join(where[:min(len(where), maxTargets)], ", ")
	}
	if more := len(where) - maxTargets; more > 0 {
		target += fmt.Sprintf(" and %d more", more)
	}
	return &journal.Change{Actor: systemActor, Action: loadAction, Target: target, To: to}
}

// difference returns three lists: the names that only the second map has, the names whose
// values differ, and the names that only the first map has.
func difference[T any](before, after map[string]T, equal func(a, b T) bool) (added, changed, removed []string) {
	for name, now := range after {
		if then, ok := before[name]; !ok {
			added = append(added, name)
		} else if !equal(then, now) {
			changed = append(changed, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			removed = append(removed, name)
		}
	}
	return added, changed, removed
}

func byName(s storedSource) map[string]*shortRule {
	rules := make(map[string]*shortRule, len(s.Rules))
	for i := range s.Rules {
		rules[s.Rules[i].Name] = &s.Rules[i]
	}
	return rules
}

// equal compares two rules, except for the file and line.
func (r *shortRule) equal(other *shortRule) bool {
	text := func(r *shortRule) string {
		bare := *r
		bare.File, bare.Line = "", 0
		text, _ := json.Marshal(bare) // cannot fail
		return string(text)
	}
	return text(r) == text(other)
}
