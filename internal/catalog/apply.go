package catalog

import (
	"context"
	"database/sql"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
	"github.com/tidewaiter/tidewaiter/notification"
)

// maxCached is a size in bytes. A batch is written when its rows have about this size.
const maxCached = 4 << 20

// apply is the function Apply of the projection.Definition.
func apply(ctx context.Context, tx projection.Tx, entries iter.Seq2[journal.Entry, error]) error {
	b, err := newBatch(ctx, tx)
	if err != nil {
		return err
	}
	defer b.close()
	for e, err := range entries {
		if err != nil {
			return err
		}
		if run, ok := RunOf(&e); ok {
			if err := b.addRun(ctx, &e, &run); err != nil {
				return err
			}
			continue
		}
		if e.Change != nil && e.Change.Action == deleteAction {
			if err := b.addDelete(ctx, &e); err != nil {
				return err
			}
		}
		r, ok := reportOf(&e)
		if !ok {
			continue
		}
		if err := b.add(ctx, r); err != nil {
			return err
		}
		if err := b.writeIfLarge(ctx); err != nil {
			return err
		}
	}
	return b.write(ctx)
}

// writeIfLarge writes the batch if its rows have more than maxCached bytes.
func (b *batch) writeIfLarge(ctx context.Context) error {
	if b.cached <= maxCached {
		return nil
	}
	return b.write(ctx)
}

// batch has the rows that events have changed. Rows are read when they are first needed.
type batch struct {
	tx         *sql.Tx
	own        string // Login
	statements map[string]*sql.Stmt
	cached     int // approximate size in bytes

	lastRepository, lastManifest int64 // ids
	repositories                 map[repositoryKey]*repositoryRow
	byID                         map[int64]*repositoryRow
	manifests                    map[objectKey]*manifestRow
	tags                         map[objectKey]*tagRow
	history                      []moveRow
	pulls                        map[pullsKey]int64
	blobs                        map[objectKey]blobChange
}

type repositoryKey struct{ registry, name string }

// objectKey is the key of a tag, or of a manifest or blob by its digest.
type objectKey struct {
	repository int64
	name       string
}

// moveRow is a row of catalog_history.
type moveRow struct {
	repository int64
	tag        string
	changed    fact
	position   journal.Position
	digest     digest
}

type pullsKey struct{ manifest, day int64 }

// blobChange has the differences to add to the columns of a row of catalog_blobs.
type blobChange struct{ manifests, total int64 }

func newBatch(ctx context.Context, tx projection.Tx) (*batch, error) {
	b := &batch{tx: tx.Tx, own: Login(tx.Instance), statements: make(map[string]*sql.Stmt)}
	b.clear()
	err := tx.QueryRowContext(ctx, `
		SELECT (SELECT coalesce(max(id), 0) FROM catalog_repositories), (SELECT coalesce(max(id), 0) FROM catalog_manifests)`).
		Scan(&b.lastRepository, &b.lastManifest)
	if err == nil && b.lastRepository == 0 {
		err = createKey(ctx, tx.Tx)
	}
	return b, err
}

func (b *batch) clear() {
	b.cached, b.history = 0, nil
	b.repositories, b.byID = make(map[repositoryKey]*repositoryRow), make(map[int64]*repositoryRow)
	b.manifests, b.tags = make(map[objectKey]*manifestRow), make(map[objectKey]*tagRow)
	b.pulls, b.blobs = make(map[pullsKey]int64), make(map[objectKey]blobChange)
}

func (b *batch) close() {
	for _, s := range b.statements {
		_ = s.Close()
	}
}

// add applies an event to the rows.
func (b *batch) add(ctx context.Context, r *report) error {
	repository, err := b.repository(ctx, r)
	if err != nil {
		return err
	}
	if r.Action == notification.Delete {
		return b.delete(ctx, r, repository)
	}
	m, err := b.manifest(ctx, repository, compact(r.Digest))
	if err != nil {
		return err
	}
	m.describe(r)
	b.cached += len(m.refers)
	if r.Action == notification.Push {
		m.pushed.setIfLatest(r.at, r.Actor)
		repository.pushed.setIfLatest(r.at, r.Actor)
	} else {
		m.seen = max(m.seen, r.at)
	}
	if r.isCounted(b.own) {
		m.pulled.setIfLatest(r.at, r.Actor)
		repository.pulled.setIfLatest(r.at, r.Actor)
		m.pulls++
		repository.pulls++
		b.pulls[pullsKey{m.id, r.at / dayLength}]++
	}
	if r.Tag == "" {
		return nil
	}
	t, err := b.tag(ctx, repository, r.Tag)
	switch {
	case err != nil:
		return err
	case r.Action == notification.Push:
		b.recordMove(t, r, m.digest)
	case r.at >= t.seen:
		t.seen, t.seenDigest = r.at, m.digest
	}
	return nil
}

// delete applies a delete event to the rows. An event without a digest and a tag is about a whole
// repository.
func (b *batch) delete(ctx context.Context, r *report, repository *repositoryRow) error {
	switch {
	case r.Tag != "": // only the tag is deleted, even if the event has the digest of the manifest
		t, err := b.tag(ctx, repository, r.Tag)
		if err == nil {
			b.recordMove(t, r, "")
		}
		return err
	case r.Digest != "":
		m, err := b.manifest(ctx, repository, compact(r.Digest))
		if err == nil {
			m.delete(fact{r.at, r.Actor})
		}
		return err
	}
	repository.deleted = max(repository.deleted, r.at)
	return b.deleteAll(ctx, repository, fact{r.at, r.Actor})
}

// deleteAll deletes the manifests of a repository.
func (b *batch) deleteAll(ctx context.Context, repository *repositoryRow, by fact) error {
	const atOnce = 500
	id := repository.id
	if err := b.write(ctx); err != nil {
		return err
	}
	for last := digest(""); ; {
		digests, err := b.digestsAfter(ctx, id, last, atOnce)
		if err != nil || len(digests) == 0 {
			return err
		}
		for _, d := range digests {
			m, err := b.manifestIn(ctx, id, d)
			if err != nil {
				return err
			}
			m.delete(by)
			last = d
		}
		if err := b.write(ctx); err != nil {
			return err
		}
	}
}

// recordMove records that a push or delete changed a tag.
func (b *batch) recordMove(t *tagRow, r *report, d digest) {
	b.history = append(b.history, moveRow{t.repository, t.name, fact{r.at, r.Actor}, r.position, d})
	if r.at >= t.changed.at {
		t.changed, t.digest = fact{r.at, r.Actor}, d
	}
}

// describe sets the properties that a push or pull reports of the manifest. The properties of a
// manifest never change, because they belong to the digest.
func (m *manifestRow) describe(r *report) {
	if m.mediaType == "" {
		m.mediaType = r.MediaType
	}
	if m.size == 0 {
		m.size = r.Size
	}
	if len(m.refers) == 0 {
		m.refers = r.references()
	}
}

func (m *manifestRow) delete(by fact) {
	before := m.deleted.at
	m.deleted.setIfLatest(by.at, by.by)
	m.deletedNow = m.deletedNow || m.deleted.at != before
}

// write computes the derived columns of the changed rows, writes the rows, and empties the batch.
func (b *batch) write(ctx context.Context) error {
	for _, key := range sortedKeys(b.tags) {
		if err := b.settleTag(ctx, b.tags[key]); err != nil {
			return err
		}
	}
	for _, key := range sortedKeys(b.manifests) {
		if err := b.settleManifest(ctx, b.manifests[key]); err != nil {
			return err
		}
	}
	if err := b.writeBlobs(ctx); err != nil {
		return err
	}
	if err := b.writeRows(ctx); err != nil {
		return err
	}
	b.clear()
	return nil
}

// settleTag computes the current digest of a tag.
func (b *batch) settleTag(ctx context.Context, t *tagRow) error {
	var deleted [2]int64
	for i, d := range [...]digest{t.digest, t.seenDigest} {
		if d == "" {
			continue
		}
		m, err := b.manifestIn(ctx, t.repository, d)
		if err != nil {
			return err
		}
		deleted[i] = m.deleted.at
	}
	repository, err := b.repositoryWith(ctx, t.repository)
	if err != nil {
		return err
	}
	had := t.shown != ""
	t.shown = t.currentDigest(deleted[0], deleted[1])
	switch has := t.shown != ""; {
	case has && !had:
		repository.tags++
	case had && !has:
		repository.tags--
	}
	return nil
}

// settleManifest computes whether the registry has a manifest, and the values that depend on this
// fact.
func (b *batch) settleManifest(ctx context.Context, m *manifestRow) error {
	repository, err := b.repositoryWith(ctx, m.repository)
	if err != nil {
		return err
	}
	had, counted, size := m.present, m.counted, m.countedSize
	m.present, m.counted, m.countedSize = 0, nil, 0
	if m.isPresent() {
		m.present, m.counted, m.countedSize = 1, m.refers, m.size
	}
	repository.manifests += m.present - had
	repository.size += m.countedSize - size
	if string(counted) != string(m.counted) {
		b.count(m.repository, counted, -1)
		b.count(m.repository, m.counted, 1)
	}
	if !m.deletedNow {
		return nil
	}
	m.deletedNow = false
	return b.settleTagsOf(ctx, m)
}

// count adds n to the number of manifests that have each blob of a manifest.
func (b *batch) count(repository int64, of references, n int64) {
	for d, size := range of.objects {
		key := objectKey{repository, string(d)}
		c := b.blobs[key]
		b.blobs[key] = blobChange{c.manifests + n, c.total + n*size}
	}
}

// settleTagsOf settles the tags of a deleted manifest.
func (b *batch) settleTagsOf(ctx context.Context, m *manifestRow) error {
	const atOnce = 500
	for last := ""; ; {
		tags, err := b.tagsOf(ctx, m, last, atOnce)
		if err != nil || len(tags) == 0 {
			return err
		}
		for i := range tags {
			last = tags[i].name
			if b.tags[objectKey{m.repository, last}] != nil {
				continue // this tag is settled with the changed rows
			}
			if err := b.settleTag(ctx, &tags[i]); err != nil {
				return err
			}
			if err := b.exec(ctx, upsertTag, tags[i].values()...); err != nil {
				return err
			}
		}
	}
}

// sortedKeys returns the sorted keys of a map of rows, so that a write does not depend on the
// order of a map.
func sortedKeys[V any](rows map[objectKey]V) []objectKey {
	return slices.SortedFunc(maps.Keys(rows), func(a, b objectKey) int {
		if a.repository != b.repository {
			return int(a.repository - b.repository)
		}
		return strings.Compare(a.name, b.name)
	})
}
