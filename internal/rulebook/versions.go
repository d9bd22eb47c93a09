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
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// Limits of stored versions. A version that was in force for less than storeEvery may be missing,
// so that a thousand quick changes of a large rulebook are not stored as a thousand copies.
const (
	storeEvery      = 10 * time.Second
	maxVersions     = 1000
	maxVersionBytes = 64 << 20  // of all versions, compressed
	maxVersionSize  = 256 << 20 // of one version, uncompressed
)

// Version returns the source of a former policy by its ID. The error is ErrNotFound if the
// policy was not stored or was deleted meanwhile.
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
	return b.unpacked(packed)
}

// storeVersions stores the source of each policy that is in force for a while, until ctx ends.
// It also repeats RecordFiles after a failure.
func (b *Rulebook) storeVersions(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last time.Time
	failing := false
	for {
		b.retryRecordFiles(ctx)
		if now := time.Now(); last.IsZero() || now.Sub(last) >= storeEvery {
			kept, err := b.storeVersion(ctx)
			switch {
			case err != nil && ctx.Err() == nil && !failing:
				b.o.Log.Warn("cannot store the policy's version; decisions by it cannot be explained in full", "error", err)
			case kept:
				last = now
			}
			failing = err != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// storeVersion stores the policy in force, unless it is the policy that was stored last.
func (b *Rulebook) storeVersion(ctx context.Context) (kept bool, err error) {
	b.mu.Lock()
	p, source, before := b.Policy(), b.source, b.storedVersion
	b.mu.Unlock()
	if p.ID() == "" || p.ID() == before {
		return false, nil
	}
	now := store.Millis(b.o.Now())
	n := 0
	err = b.writer.Write(ctx, "", func(tx *sql.Tx) error {
		n, err = store.Affected(tx.ExecContext(ctx, "UPDATE rulebook_versions SET used = $1 WHERE id = $2", now, p.ID()))
		return err
	})
	if err == nil && n == 0 {
		var packed []byte
		if packed, err = pack(shortened(source), gzip.DefaultCompression); err == nil {
			err = b.writer.Write(ctx, "", func(tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO rulebook_versions (id, used, since, source) VALUES ($1, $2, $2, $3) ON CONFLICT DO NOTHING", p.ID(), now, packed)
				return errors.Join(err, deleteOldVersions(ctx, tx))
			})
		}
	}
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	b.storedVersion = p.ID()
	b.mu.Unlock()
	return true, nil
}

// deleteOldVersions deletes versions until the limits hold. It first deletes the versions that
// have not been in force for the longest time.
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

// shortFields is a policy.Rule with short JSON names. The conversion between the two fails to
// compile if their fields differ.
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

// shortened returns the stored form of a source.
func shortened(source policy.Source) storedSource {
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

// pack compresses a source with the given level of gzip. The start of the service waits for
// one compression, so that compression has a fast level.
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

// unpacked returns the source that pack has compressed.
func (b *Rulebook) unpacked(packed []byte) (policy.Source, error) {
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
			source.Rules[i].When = &unreadable{r.When, err} // a condition of another version
		}
	}
	return source, nil
}
