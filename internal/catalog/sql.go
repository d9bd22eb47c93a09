package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

var (
	upsertRepository = upsertInto("catalog_repositories", repositoryColumns, "id")
	upsertManifest   = upsertInto("catalog_manifests", manifestColumns, "id")
	upsertTag        = upsertInto("catalog_tags", tagColumns, "repository, name")
)

const (
	insertMove = `INSERT INTO catalog_history (repository, tag, changed, position, digest, changed_by) VALUES ($1, $2, $3, $4, $5, $6)`
	addPulls   = `
		INSERT INTO catalog_pulls (manifest, day, pulls) VALUES ($1, $2, $3)
		ON CONFLICT (manifest, day) DO UPDATE SET pulls = catalog_pulls.pulls + $3`

	// addBlob does not change a total that is above 1 << 62. Otherwise, clients could invent sizes
	// whose sum exceeds 64 bits. Then no later event could be written.
	addBlob = `
		INSERT INTO catalog_blobs (repository, digest, manifests, total) VALUES ($1, $2, $3, $4)
		ON CONFLICT (repository, digest) DO UPDATE SET manifests = catalog_blobs.manifests + $3,
			total = CASE WHEN abs(catalog_blobs.total) > 4611686018427387904 THEN catalog_blobs.total ELSE catalog_blobs.total + $4 END
		RETURNING manifests, total`
	maxChange = 1 << 61 // the largest change of a total in one batch

	selectRepository     = `SELECT ` + repositoryColumns + ` FROM catalog_repositories WHERE registry = $1 AND name = $2`
	selectRepositoryByID = `SELECT ` + repositoryColumns + ` FROM catalog_repositories WHERE id = $1`
	selectManifest       = `SELECT ` + manifestColumns + ` FROM catalog_manifests WHERE repository = $1 AND digest = $2`
	selectTag            = `SELECT ` + tagColumns + ` FROM catalog_tags WHERE repository = $1 AND name = $2`
)

// upsertInto returns a statement that inserts a row, or changes the row with the same key.
func upsertInto(table, columns, key string) string {
	var values, changes []string
	for i, column := range strings.Split(columns, ", ") {
		values = append(values, fmt.Sprintf("$%d", i+1))
		changes = append(changes, column+" = excluded."+column)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) ON CONFLICT (%s) DO UPDATE SET %s",
		table, columns, strings.Join(values, ", "), key, strings.Join(changes, ", "))
}

// prepareOnce returns a prepared statement. It prepares each statement only once for a batch.
func (b *batch) prepareOnce(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := b.statements[query]; s != nil {
		return s, nil
	}
	s, err := b.tx.PrepareContext(ctx, query)
	if err == nil {
		b.statements[query] = s
	}
	return s, err
}

func (b *batch) exec(ctx context.Context, query string, args ...any) error {
	s, err := b.prepareOnce(ctx, query)
	if err == nil {
		_, err = s.ExecContext(ctx, args...)
	}
	return err
}

// readRow reads a row. The error is sql.ErrNoRows if there is no row.
func readRow[T any](ctx context.Context, b *batch, scan func(store.Row) (T, error), query string, args ...any) (row T, err error) {
	s, err := b.prepareOnce(ctx, query)
	if err != nil {
		return row, err
	}
	b.cached += 300
	return scan(s.QueryRowContext(ctx, args...))
}

// repository returns the row of an event's repository, which can be new.
func (b *batch) repository(ctx context.Context, r *report) (*repositoryRow, error) {
	key := repositoryKey{r.registry, r.Repository}
	if row := b.repositories[key]; row != nil {
		return row, nil
	}
	row, err := readRow(ctx, b, scanRepository, selectRepository, r.registry, r.Repository)
	if errors.Is(err, sql.ErrNoRows) {
		b.lastRepository++
		row, err = repositoryRow{id: b.lastRepository, registry: r.registry, name: r.Repository}, nil
	}
	b.repositories[key], b.byID[row.id] = &row, &row
	return &row, err
}

// repositoryWith returns the row of the repository with an id.
func (b *batch) repositoryWith(ctx context.Context, id int64) (*repositoryRow, error) {
	if row := b.byID[id]; row != nil {
		return row, nil
	}
	row, err := readRow(ctx, b, scanRepository, selectRepositoryByID, id)
	b.repositories[repositoryKey{row.registry, row.name}], b.byID[id] = &row, &row
	return &row, err
}

// manifest returns the row of a manifest, which can be new.
func (b *batch) manifest(ctx context.Context, in *repositoryRow, d digest) (*manifestRow, error) {
	row, err := b.manifestIn(ctx, in.id, d)
	if !errors.Is(err, sql.ErrNoRows) {
		return row, err
	}
	b.lastManifest++
	row = &manifestRow{id: b.lastManifest, repository: in.id, digest: d, deleted: fact{at: in.deleted}}
	b.manifests[objectKey{in.id, string(d)}] = row
	return row, nil
}

// manifestIn returns the row of a manifest. The error is sql.ErrNoRows if there is no such row.
func (b *batch) manifestIn(ctx context.Context, repository int64, d digest) (*manifestRow, error) {
	key := objectKey{repository, string(d)}
	if row := b.manifests[key]; row != nil {
		return row, nil
	}
	row, err := readRow(ctx, b, scanManifest, selectManifest, repository, d)
	if err != nil {
		return nil, err
	}
	b.cached += len(row.refers)
	b.manifests[key] = &row
	return &row, nil
}

// tag returns the row of a tag, which can be new.
func (b *batch) tag(ctx context.Context, in *repositoryRow, name string) (*tagRow, error) {
	key := objectKey{in.id, name}
	if row := b.tags[key]; row != nil {
		return row, nil
	}
	row, err := readRow(ctx, b, scanTag, selectTag, in.id, name)
	if errors.Is(err, sql.ErrNoRows) {
		row, err = tagRow{repository: in.id, name: name}, nil
	}
	b.tags[key] = &row
	return &row, err
}

// tagsOf returns the stored tags that have the given manifest or had it before, in the order of
// their names.
func (b *batch) tagsOf(ctx context.Context, m *manifestRow, after string, limit int) ([]tagRow, error) {
	return store.Collect(ctx, b.tx, scanTag, `
		SELECT `+tagColumns+` FROM catalog_tags
		WHERE repository = $1 AND (digest = $2 OR seen_digest = $2) AND name > $3 ORDER BY name LIMIT $4`, m.repository, m.digest, after, limit)
}

func (b *batch) digestsAfter(ctx context.Context, repository int64, after digest, limit int) ([]digest, error) {
	return store.Collect(ctx, b.tx, func(row store.Row) (d digest, err error) { return d, row.Scan(&d) }, `
		SELECT digest FROM catalog_manifests WHERE repository = $1 AND digest > $2 ORDER BY digest LIMIT $3`, repository, after, limit)
}

// writeBlobs writes the changes of catalog_blobs, and updates the sizes of the repositories.
func (b *batch) writeBlobs(ctx context.Context) error {
	for _, key := range sortedKeys(b.blobs) {
		change := b.blobs[key]
		if change == (blobChange{}) {
			continue
		}
		has, err := readRow(ctx, b, func(row store.Row) (c blobChange, err error) { return c, row.Scan(&c.manifests, &c.total) },
			addBlob, key.repository, digest(key.name), change.manifests, max(min(change.total, maxChange), -maxChange))
		if err == nil && has.manifests <= 0 {
			err = b.exec(ctx, `DELETE FROM catalog_blobs WHERE repository = $1 AND digest = $2`, key.repository, digest(key.name))
		}
		if err != nil {
			return err
		}
		repository, err := b.repositoryWith(ctx, key.repository)
		if err != nil {
			return err
		}
		had := blobChange{has.manifests - change.manifests, has.total - change.total}
		repository.size += has.size() - had.size()
	}
	return nil
}

// size returns the size of a blob from its row.
func (c blobChange) size() int64 {
	if c.manifests <= 0 {
		return 0
	}
	return c.total / c.manifests
}

// writeRows writes the rows of the batch, including the few that did not change.
func (b *batch) writeRows(ctx context.Context) error {
	for _, row := range b.repositories {
		if err := b.exec(ctx, upsertRepository, row.values()...); err != nil {
			return err
		}
	}
	for _, key := range sortedKeys(b.manifests) {
		if err := b.exec(ctx, upsertManifest, b.manifests[key].values()...); err != nil {
			return err
		}
	}
	for _, key := range sortedKeys(b.tags) {
		if err := b.exec(ctx, upsertTag, b.tags[key].values()...); err != nil {
			return err
		}
	}
	for _, m := range b.history {
		if err := b.exec(ctx, insertMove, m.repository, m.tag, m.changed.at, m.position, m.digest, m.changed.by); err != nil {
			return err
		}
	}
	for key, n := range b.pulls {
		if err := b.exec(ctx, addPulls, key.manifest, key.day, n); err != nil {
			return err
		}
	}
	return nil
}
