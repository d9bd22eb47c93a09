package rulebook

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

const (
	// storeEvery is the minimum time between two writes of new policies.
	storeEvery = 10 * time.Second
	// flushTimeout is the maximum time that the end of Run waits for the final write.
	flushTimeout = 2 * time.Second

	// Limits of stored versions and of the history. They limit the use of the disk. With one
	// change a day, 10,000 versions are enough for 27 years.
	maxVersions     = 10_000
	maxVersionBytes = 256 << 20 // of all versions, compressed
	maxVersionSize  = 256 << 20 // of one version, uncompressed

	// Limits of the policies in memory that are not stored yet.
	maxUnstored      = 1000
	maxUnstoredRules = 10_000
)

// Version returns the source of a former policy by its ID. The error is ErrNotFound if the policy
// is not stored or no longer stored.
func (b *Rulebook) Version(ctx context.Context, id string) (_ policy.Source, err error) {
	defer admin.Wrap(&err, "looking up policy %.40q", id)
	if b.o.DB == nil {
		return policy.Source{}, &admin.NotFoundError{Kind: "policy", Name: id}
	}
	var packed []byte
	_, err = admin.OrNotFound(packed, b.o.DB.Read().QueryRowContext(ctx, "SELECT source FROM rulebook_versions WHERE id = $1", id).Scan(&packed))
	if err != nil {
		return policy.Source{}, admin.Named(err, "policy", id)
	}
	return b.unpackSource(packed)
}

// activation is a policy that took effect and is not stored yet.
type activation struct {
	id    string
	files string // Files.ID
	at    time.Time
	// source is nil if the policies that are not stored yet have too many rules for the memory.
	// Then the history lists the policy, but its rules are missing.
	source *policy.Source
}

func (a activation) equal(other activation) bool { return a.id == other.id && a.at.Equal(other.at) }

// recordActivation adds a policy to the policies that are not stored yet. If it is the most
// recently added policy, recordActivation does nothing. The caller must have locked b.mu.
func (b *Rulebook) recordActivation(a activation) {
	if b.o.DB == nil || a.id == "" || a.id == b.lastActivated {
		return
	}
	b.lastActivated = a.id
	b.unstored = append(b.unstored, a)
	if len(b.unstored) > maxUnstored {
		b.unstored = slices.Delete(b.unstored, 0, len(b.unstored)-maxUnstored)
	}
	rules := 0
	for i := len(b.unstored) - 1; i >= 0; i-- {
		if s := b.unstored[i].source; s != nil {
			rules += len(s.Rules)
		}
		if rules > maxUnstoredRules && i < len(b.unstored)-1 {
			b.unstored[i].source = nil
		}
	}
}

// storeVersions stores each policy that takes effect, until ctx ends.
func (b *Rulebook) storeVersions(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last time.Time
	failing := false
	for {
		b.retryRecordFiles(ctx)
		if now := time.Now(); last.IsZero() || now.Sub(last) >= storeEvery {
			stored, err := b.storeActivations(ctx)
			switch {
			case err != nil && ctx.Err() == nil && !failing:
				b.o.Log.Warn("cannot store the policy's version; decisions of this policy cannot be explained in full", "error", err)
			case stored:
				last = now
			}
			failing = err != nil
		}
		select {
		case <-ctx.Done():
			flushing, end := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
			defer end()
			if _, err := b.storeActivations(flushing); err != nil {
				b.o.Log.Warn("cannot store the policy's version; the history begins with the next start", "error", err)
			}
			return
		case <-tick.C:
		}
	}
}

// storeActivations stores the policies that are not stored yet. It reports whether there were any.
func (b *Rulebook) storeActivations(ctx context.Context) (stored bool, err error) {
	b.mu.Lock()
	waiting := slices.Clone(b.unstored)
	b.mu.Unlock()
	for _, a := range waiting {
		if err := b.storeActivation(ctx, a); err != nil {
			return stored, err
		}
		stored = true
		b.mu.Lock()
		b.unstored = slices.DeleteFunc(b.unstored, a.equal)
		b.mu.Unlock()
	}
	return stored, nil
}

func (b *Rulebook) storeActivation(ctx context.Context, a activation) error {
	var known int
	if err := b.o.DB.Read().QueryRowContext(ctx, "SELECT count(*) FROM rulebook_versions WHERE id = $1", a.id).Scan(&known); err != nil {
		return err
	}
	var packed []byte
	if known == 0 && a.source != nil {
		var err error
		if packed, err = pack(storedForm(*a.source), gzip.DefaultCompression); err != nil {
			return err
		}
	}
	return b.writer.Write(ctx, "", func(tx *sql.Tx) error {
		// Write the newest row before reading it, so that other replicas wait here.
		if _, err := tx.ExecContext(ctx, "UPDATE rulebook_history SET files = files WHERE since = (SELECT max(since) FROM rulebook_history)"); err != nil {
			return err
		}
		last, err := admin.OrNotFound(scanPeriod(tx.QueryRowContext(ctx, "SELECT since, policy, files FROM rulebook_history ORDER BY since DESC LIMIT 1")))
		if err != nil && !errors.Is(err, admin.ErrNotFound) {
			return err
		}
		at := store.Millis(a.at)
		if last.Policy != a.id {
			// The rows have the order of the writes, even if a clock was set back.
			at = max(at, store.Millis(last.Since)+1)
			_, err = tx.ExecContext(ctx, "INSERT INTO rulebook_history (since, policy, files) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", at, a.id, a.files)
			if err != nil {
				return err
			}
		}
		if packed != nil {
			_, err = tx.ExecContext(ctx, "INSERT INTO rulebook_versions (id, used, since, source) VALUES ($1, $2, $2, $3) ON CONFLICT DO NOTHING", a.id, at, packed)
			if err != nil {
				return err
			}
		}
		// The previous policy was in force until now, too.
		if _, err := tx.ExecContext(ctx, "UPDATE rulebook_versions SET used = $1 WHERE id IN ($2, $3)", at, a.id, last.Policy); err != nil {
			return err
		}
		return deleteOldVersions(ctx, tx)
	})
}

// deleteOldVersions deletes versions until no limit is exceeded. It begins with the versions that
// were in force least recently.
func deleteOldVersions(ctx context.Context, tx *sql.Tx) error {
	type version struct {
		id   string
		size int
	}
	all, err := store.Collect(ctx, tx, func(row store.Row) (v version, err error) { return v, row.Scan(&v.id, &v.size) },
		"SELECT id, length(source) FROM rulebook_versions ORDER BY used DESC, id")
	size := 0
	for i, v := range all {
		size += v.size
		if err == nil && i > 0 && (i >= maxVersions || size > maxVersionBytes) {
			_, err = tx.ExecContext(ctx, "DELETE FROM rulebook_versions WHERE id = $1", v.id)
		}
	}
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM rulebook_history WHERE since <= (SELECT since FROM rulebook_history ORDER BY since DESC LIMIT 1 OFFSET $1)", maxVersions)
	return err
}

// storedSource is the stored form of a policy's source. JSON names are short because a policy
// can have 100,000 rules.
type storedSource struct {
	Roles map[string]shortRole `json:"roles"`
	Rules []shortRule          `json:"rules"`
}

// shortRole is a policy.Role with short JSON names.
type shortRole struct {
	Actions  scope.Actions `json:"a"`
	Lifetime time.Duration `json:"l,omitempty"`
}

// shortRule is a rule with the text of its condition and its origin.
type shortRule struct {
	shortFields
	When      string `json:"w,omitempty"`
	File      string `json:"f,omitempty"`
	Line      int    `json:"i,omitempty"`
	Namespace string `json:"m,omitempty"`
	BuiltIn   bool   `json:"b,omitempty"`
}

// shortFields is a policy.Rule with short JSON names. The conversion between the two types
// fails to compile if their fields differ.
type shortFields struct {
	Name       string           `json:"n"`
	Deny       bool             `json:"d,omitempty"`
	Subjects   []string         `json:"s,omitempty"`
	Registries []string         `json:"g,omitempty"`
	Type       string           `json:"t,omitempty"`
	Names      []string         `json:"p,omitempty"`
	Role       string           `json:"r,omitempty"`
	Actions    scope.Actions    `json:"a"`
	When       policy.Condition `json:"-"`
	Lifetime   time.Duration    `json:"l,omitempty"`
	Origin     policy.Origin    `json:"-"`
}

// storedForm returns the stored form of a source.
func storedForm(source policy.Source) storedSource {
	stored := storedSource{Roles: make(map[string]shortRole, len(source.Roles)), Rules: make([]shortRule, len(source.Rules))}
	for name, role := range source.Roles {
		stored.Roles[name] = shortRole(role)
	}
	for i := range source.Rules {
		r := &source.Rules[i]
		stored.Rules[i] = shortRule{shortFields(*r), "", r.Origin.File, r.Origin.Line, r.Origin.Namespace, r.Origin.BuiltIn}
		if r.When != nil {
			stored.Rules[i].When = r.When.String()
		}
	}
	return stored
}

// pack compresses a source with the given level of gzip. The start of the service waits for one
// compression, and this compression uses a fast level.
func pack(stored storedSource, level int) ([]byte, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, level)
	if err != nil {
		return nil, err
	}
	err = errors.Join(json.NewEncoder(z).Encode(stored), z.Close()) // Close flushes
	return packed.Bytes(), err
}

func unpack(packed []byte) (stored storedSource, err error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		err = json.NewDecoder(io.LimitReader(z, maxVersionSize)).Decode(&stored)
	}
	return stored, err
}

// unpackSource returns the source that pack has compressed.
func (b *Rulebook) unpackSource(packed []byte) (policy.Source, error) {
	stored, err := unpack(packed)
	if err != nil {
		return policy.Source{}, err
	}
	source := policy.Source{Roles: make(roles, len(stored.Roles)), Rules: make([]policy.Rule, len(stored.Rules))}
	for name, role := range stored.Roles {
		source.Roles[name] = policy.Role(role)
	}
	for i, r := range stored.Rules {
		source.Rules[i] = policy.Rule(r.shortFields)
		source.Rules[i].Origin = policy.Origin{
			File: r.File, Line: r.Line, Namespace: r.Namespace, BuiltIn: r.BuiltIn, Database: r.File == "" && r.Namespace == "" && !r.BuiltIn,
		}
		if r.When == "" {
			continue
		}
		if b.o.When == nil {
			return policy.Source{}, fmt.Errorf("the rule %q has a condition, and conditions are not supported here", r.Name)
		}
		if source.Rules[i].When, err = b.o.When(r.When); err != nil {
			// Another version of Tidewaiter stored the condition.
			source.Rules[i].When = &unreadableCondition{r.When, err}
		}
	}
	return source, nil
}
