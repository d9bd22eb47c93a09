package catalog

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/store"
)

// fact is the time and the actor of an event. The time is in microseconds since 1970; 0: never.
type fact struct {
	at int64
	by string
}

// setIfLatest sets the fact to the given event, unless the given event is earlier than the fact.
// If two events have the same time, the later event in the journal counts.
func (f *fact) setIfLatest(at int64, by string) {
	if at >= f.at {
		*f = fact{at, by}
	}
}

func (f fact) event() Event {
	if f.at == 0 {
		return Event{}
	}
	return Event{time.UnixMicro(f.at).UTC(), f.by}
}

// pulledAfter reports whether a pull is so much later than another event that the pull overrides
// the event. If there was no pull, it returns false. If there was a pull but no earlier event, it
// returns true.
func pulledAfter(pull, earlier int64) bool {
	return pull > 0 && (earlier == 0 || pull > earlier+grace.Microseconds())
}

// repositoryRow is a row of catalog_repositories.
type repositoryRow struct {
	id                    int64
	registry, name        string
	pushed, pulled        fact
	pulls                 int64
	deleted               int64
	tags, manifests, size int64
}

const repositoryColumns = `id, registry, name, pushed, pushed_by, pulled, pulled_by, pulls, deleted, tags, manifests, size`

func scanRepository(row store.Row) (r repositoryRow, err error) {
	return r, row.Scan(&r.id, &r.registry, &r.name, &r.pushed.at, &r.pushed.by, &r.pulled.at, &r.pulled.by,
		&r.pulls, &r.deleted, &r.tags, &r.manifests, &r.size)
}

func (r *repositoryRow) values() []any {
	return []any{r.id, r.registry, r.name, r.pushed.at, r.pushed.by, r.pulled.at, r.pulled.by, r.pulls, r.deleted, r.tags, r.manifests, r.size}
}

// manifestRow is a row of catalog_manifests.
type manifestRow struct {
	id, repository int64
	digest         digest
	mediaType      string
	size           int64
	refers         references
	pushed, pulled fact
	pulls          int64
	seen           int64
	deleted        fact
	present        int64 // 1 or 0

	counted     references // the references of the manifest that are counted in catalog_blobs
	countedSize int64      // the manifest's part of the repository's size
	deletedNow  bool       // whether the value of deleted has changed since the row was read
}

const manifestColumns = `id, repository, digest, media_type, size, refers, pushed, pushed_by, pulled, pulled_by, pulls, seen, deleted, deleted_by, present`

func scanManifest(row store.Row) (m manifestRow, err error) {
	err = row.Scan(m.columns()...)
	m.setCounted()
	return m, err
}

func (m *manifestRow) columns() []any {
	return []any{&m.id, &m.repository, &m.digest, &m.mediaType, &m.size, (*[]byte)(&m.refers), &m.pushed.at, &m.pushed.by,
		&m.pulled.at, &m.pulled.by, &m.pulls, &m.seen, &m.deleted.at, &m.deleted.by, &m.present}
}

func (m *manifestRow) values() []any {
	return []any{m.id, m.repository, m.digest, m.mediaType, m.size, append([]byte{}, m.refers...), m.pushed.at, m.pushed.by,
		m.pulled.at, m.pulled.by, m.pulls, m.seen, m.deleted.at, m.deleted.by, m.present}
}

// setCounted sets m.counted and m.countedSize from the row that was read.
func (m *manifestRow) setCounted() {
	if m.present == 1 {
		m.counted, m.countedSize = m.refers, m.size
	}
}

// isPresent reports whether the registry has the manifest.
func (m *manifestRow) isPresent() bool {
	return m.pushed.at > 0 && m.pushed.at >= m.deleted.at || pulledAfter(m.seen, m.deleted.at)
}

// tagRow is a row of catalog_tags.
type tagRow struct {
	repository int64
	name       string
	changed    fact
	digest     digest
	seen       int64
	seenDigest digest
	shown      digest
}

const tagColumns = `repository, name, changed, changed_by, digest, seen, seen_digest, shown`

func scanTag(row store.Row) (t tagRow, err error) { return t, row.Scan(t.columns()...) }

func (t *tagRow) columns() []any {
	return []any{&t.repository, &t.name, &t.changed.at, &t.changed.by, &t.digest, &t.seen, &t.seenDigest, &t.shown}
}

func (t *tagRow) values() []any {
	return []any{t.repository, t.name, t.changed.at, t.changed.by, t.digest, t.seen, t.seenDigest, t.shown}
}

// currentDigest returns the current digest of the tag. The parameters are the times at which the
// manifests of t.digest and t.seenDigest were deleted.
func (t *tagRow) currentDigest(deleted, seenDeleted int64) digest {
	d := t.digest
	if deleted > t.changed.at {
		d = ""
	}
	if t.seenDigest != d && pulledAfter(t.seen, t.changed.at) && pulledAfter(t.seen, seenDeleted) {
		d = t.seenDigest
	}
	return d
}
