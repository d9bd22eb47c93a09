package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Repository returns a repository. If registry is "", it returns the only repository with this
// name that the reader may see.
func (r *Reader) Repository(ctx context.Context, f Filter, registry, name string) (Repository, error) {
	if f == nil {
		f = everythingFilter{}
	}
	registries := []string{registry}
	if registry == "" {
		var err error
		if registries, err = r.registries(ctx); err != nil {
			return Repository{}, err
		}
	}
	var found []Repository
	for _, registry := range registries {
		row, err := scanRepository(r.view.QueryRowContext(ctx, selectRepository, registry, name))
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return Repository{}, err
		}
		if f.Sees(registry, name) {
			found = append(found, row.repository())
		}
	}
	switch len(found) {
	case 0:
		return Repository{}, fmt.Errorf("repository %s: %w", name, ErrNotFound)
	case 1:
		return found[0], nil
	}
	return Repository{}, admin.Invalid("registry", "several registries have this repository: give one of them")
}

func (r *repositoryRow) repository() Repository {
	return Repository{
		Registry: r.registry, Name: r.name, Tags: r.tags, Manifests: r.manifests, Size: r.size,
		Pushed: r.pushed.event(), Pulled: r.pulled.event(), Pulls: r.pulls, id: r.id,
	}
}

// Tags returns a page of the tags of a repository, by name.
func (r *Reader) Tags(ctx context.Context, of Repository, page admin.Page) ([]Tag, string, error) {
	return admin.List(ctx, r.view, page, func(row store.Row) (Tag, error) {
		t, m, err := scanTagWithManifest(row)
		return t.tag(&m), err
	}, func(t *Tag) string { return t.Name }, selectTags+`t.repository = $3 AND length(t.shown) > 0 AND t.name > $1 ORDER BY t.name LIMIT $2`, of.id)
}

// Tag returns a tag, or ErrNotFound.
func (r *Reader) Tag(ctx context.Context, of Repository, name string) (Tag, error) {
	t, m, err := scanTagWithManifest(r.view.QueryRowContext(ctx, selectTags+`t.repository = $1 AND length(t.shown) > 0 AND t.name = $2`, of.id, name))
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("tag %s of %s: %w", name, of.Name, ErrNotFound)
	}
	return t.tag(&m), err
}

var selectTags = `SELECT t.` + strings.ReplaceAll(tagColumns, ", ", ", t.") + `, m.` + strings.ReplaceAll(manifestColumns, ", ", ", m.") + `
	FROM catalog_tags t JOIN catalog_manifests m ON m.repository = t.repository AND m.digest = t.shown WHERE `

// scanTagWithManifest reads a row of selectTags.
func scanTagWithManifest(row store.Row) (t tagRow, m manifestRow, err error) {
	err = row.Scan(append(t.columns(), m.columns()...)...)
	m.setCounted()
	return t, m, err
}

func (t *tagRow) tag(m *manifestRow) Tag {
	tag := Tag{Name: t.name, Manifest: m.manifest()}
	if t.shown == t.digest {
		tag.Set = t.changed.event()
	}
	return tag
}

func (m *manifestRow) manifest() Manifest {
	out := Manifest{
		Digest: m.digest.String(), MediaType: m.mediaType, Size: m.size, Present: m.isPresent(),
		Pushed: m.pushed.event(), Pulled: m.pulled.event(), Deleted: m.deleted.event(), Pulls: m.pulls,
	}
	counted := make(map[digest]bool)
	for d, size := range m.refers.objects {
		if !counted[d] {
			counted[d] = true
			out.Size += size
			out.Refers = append(out.Refers, Reference{d.String(), size})
		}
	}
	return out
}

// Manifest returns a manifest, or ErrNotFound. It also returns manifests that the registry no
// longer has.
func (r *Reader) Manifest(ctx context.Context, of Repository, text string) (Manifest, error) {
	m, err := r.manifest(ctx, of, text)
	return m.manifest(), err
}

func (r *Reader) manifest(ctx context.Context, of Repository, text string) (manifestRow, error) {
	m, err := scanManifest(r.view.QueryRowContext(ctx, selectManifest, of.id, compact(text)))
	// A deleted blob has a row, because the event of a deleted blob looks like the event of a
	// deleted manifest.
	if errors.Is(err, sql.ErrNoRows) || err == nil && m.pushed.at == 0 && m.seen == 0 {
		err = fmt.Errorf("manifest %s of %s: %w", text, of.Name, ErrNotFound)
	}
	return m, err
}

// Manifests returns a page of the manifests that the registry has, in the order of Page.After.
func (r *Reader) Manifests(ctx context.Context, of Repository, page admin.Page) (found []Manifest, next string, err error) {
	found, err = store.Collect(ctx, r.view, func(row store.Row) (Manifest, error) {
		m, err := scanManifest(row)
		return m.manifest(), err
	}, `
		SELECT `+manifestColumns+` FROM catalog_manifests
		WHERE repository = $1 AND present = 1 AND digest > $2 ORDER BY digest LIMIT $3`, of.id, compact(page.After), page.Size()+1)
	if len(found) > page.Size() {
		found = found[:page.Size()]
		next = found[len(found)-1].Digest
	}
	return found, next, err
}

// TagsOf returns the first tags of the given manifest, in the order of their names.
func (r *Reader) TagsOf(ctx context.Context, of Repository, m Manifest, limit int) ([]string, error) {
	return store.Texts(ctx, r.view, `
		SELECT name FROM catalog_tags WHERE repository = $1 AND (digest = $2 OR seen_digest = $2) AND shown = $2 ORDER BY name LIMIT $3`,
		of.id, compact(m.Digest), limit)
}

// PullsOf returns the numbers of pulls of a manifest by day, the last day first. It omits days
// without a pull.
func (r *Reader) PullsOf(ctx context.Context, of Repository, m Manifest, limit int) ([]Pulls, error) {
	return store.Collect(ctx, r.view, func(row store.Row) (p Pulls, err error) {
		var day int64
		err = row.Scan(&day, &p.Pulls)
		p.Day = time.UnixMicro(day * dayLength).UTC()
		return p, err
	}, `
		SELECT p.day, p.pulls FROM catalog_pulls p JOIN catalog_manifests m ON m.id = p.manifest
		WHERE m.repository = $1 AND m.digest = $2 ORDER BY p.day DESC LIMIT $3`, of.id, compact(m.Digest), limit)
}

// History returns a page of the changes of a tag, the last one first. The error is ErrNotFound if
// there was no such tag.
func (r *Reader) History(ctx context.Context, of Repository, tag string, page admin.Page) (moves []Move, next string, err error) {
	t, err := scanTag(r.view.QueryRowContext(ctx, selectTag, of.id, tag))
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("tag %s of %s: %w", tag, of.Name, ErrNotFound)
	}
	if err != nil {
		return nil, "", err
	}
	if page.After == "" {
		if moves, err = r.unreportedMoves(ctx, of, &t); err != nil {
			return nil, "", err
		}
	}
	var at, position int64
	condition, args := "", []any{of.id, tag, page.Size() + 1}
	if page.After != "" {
		if _, err := fmt.Sscanf(page.After, "%d-%d", &at, &position); err != nil {
			return nil, "", admin.Invalid("after", "not a value of next from a page")
		}
		condition, args = " AND (changed, position) < ($4, $5)", append(args, at, position)
	}
	reported, err := store.Collect(ctx, r.view, func(row store.Row) (m moveRow, err error) {
		return m, row.Scan(&m.changed.at, &m.position, &m.digest, &m.changed.by)
	}, `
		SELECT changed, position, digest, changed_by FROM catalog_history
		WHERE repository = $1 AND tag = $2`+condition+` ORDER BY changed DESC, position DESC LIMIT $3`, args...)
	if len(reported) > page.Size() {
		reported = reported[:page.Size()]
		last := reported[len(reported)-1]
		next = fmt.Sprintf("%d-%d", last.changed.at, last.position)
	}
	for _, m := range reported {
		moves = append(moves, Move{m.changed.event(), m.digest.String(), false})
	}
	return moves, next, err
}

// unreportedMoves returns the changes of a tag after its last reported push or delete. Such a
// change is the delete of the tag's manifest, or a pull of the tag that returned another manifest.
func (r *Reader) unreportedMoves(ctx context.Context, of Repository, t *tagRow) (moves []Move, err error) {
	if t.shown != t.digest && t.shown == t.seenDigest && pulledAfter(t.seen, t.changed.at) {
		moves = append(moves, Move{fact{at: t.seen}.event(), t.seenDigest.String(), true})
	}
	if t.digest == "" {
		return moves, nil
	}
	m, err := scanManifest(r.view.QueryRowContext(ctx, selectManifest, of.id, t.digest))
	if err == nil && m.deleted.at > t.changed.at {
		if t.shown == "" {
			moves = nil // the delete of the manifest explains why the tag is missing
		}
		moves = append(moves, Move{m.deleted.event(), "", false})
	}
	return moves, err
}
