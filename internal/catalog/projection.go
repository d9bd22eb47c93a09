package catalog

import (
	"strings"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/projection"
)

// version must be incremented when the tables change, or when the same journal results in other
// rows.
const version = 4

// Times are microseconds since 1970, and 0 stands for "never". Ids are numbered in the order of
// the journal, so that a rebuild writes the same rows. Only the key of the cursors is random.
//
// Reported values and derived values are in separate columns. The derived values are in the
// columns "present" and "shown", and in the columns with the numbers of a repository. A derived
// value is computed again whenever a row on which it depends changes.
const tables = `
	CREATE TABLE catalog_repositories (
		id        IDENT  NOT NULL PRIMARY KEY,
		registry  NAME   NOT NULL,
		name      NAME   NOT NULL,
		pushed    BIGINT NOT NULL,
		pushed_by TEXT   NOT NULL,
		pulled    BIGINT NOT NULL,
		pulled_by TEXT   NOT NULL,
		pulls     BIGINT NOT NULL,
		deleted   BIGINT NOT NULL, -- the whole repository
		tags      BIGINT NOT NULL, -- rows of catalog_tags that have a manifest
		manifests BIGINT NOT NULL, -- rows of catalog_manifests that are present
		size      BIGINT NOT NULL  -- bytes of those manifests, and of the rows of catalog_blobs
	);
	CREATE UNIQUE INDEX catalog_by_name ON catalog_repositories (registry, name);
	CREATE INDEX catalog_by_pushed ON catalog_repositories (registry, pushed DESC, name);
	CREATE INDEX catalog_by_pulled ON catalog_repositories (registry, pulled DESC, name);
	CREATE INDEX catalog_by_size ON catalog_repositories (registry, size DESC, name);

	CREATE TABLE catalog_manifests (
		id         IDENT  NOT NULL PRIMARY KEY,
		repository BIGINT NOT NULL,
		digest     BINARY NOT NULL,
		media_type TEXT   NOT NULL,
		size       BIGINT NOT NULL, -- bytes, of the manifest alone
		refers     BINARY NOT NULL, -- see encodeReferences
		pushed     BIGINT NOT NULL,
		pushed_by  TEXT   NOT NULL,
		pulled     BIGINT NOT NULL,
		pulled_by  TEXT   NOT NULL,
		pulls      BIGINT NOT NULL,
		seen       BIGINT NOT NULL, -- the last pull or HEAD
		deleted    BIGINT NOT NULL,
		deleted_by TEXT   NOT NULL,
		present    BIGINT NOT NULL  -- 1: the registry has it
	);
	CREATE UNIQUE INDEX catalog_manifests_by_digest ON catalog_manifests (repository, digest);

	CREATE TABLE catalog_tags (
		repository  BIGINT NOT NULL,
		name        NAME   NOT NULL,
		changed     BIGINT NOT NULL, -- the last push or delete
		changed_by  TEXT   NOT NULL,
		digest      BINARY NOT NULL, -- of that push; empty: a delete
		seen        BIGINT NOT NULL, -- the last pull or HEAD
		seen_digest BINARY NOT NULL, -- what it returned
		shown       BINARY NOT NULL, -- the digest that the tag has; empty: there is no such tag
		PRIMARY KEY (repository, name)
	) CLUSTERED;
	CREATE INDEX catalog_tags_by_digest ON catalog_tags (repository, digest);
	CREATE INDEX catalog_tags_by_seen ON catalog_tags (repository, seen_digest);

	CREATE TABLE catalog_history (
		repository BIGINT NOT NULL,
		tag        NAME   NOT NULL,
		changed    BIGINT NOT NULL,
		position   BIGINT NOT NULL, -- in the journal
		digest     BINARY NOT NULL, -- empty: the tag was deleted
		changed_by TEXT   NOT NULL,
		PRIMARY KEY (repository, tag, changed, position)
	) CLUSTERED;

	-- What present manifests refer to.
	CREATE TABLE catalog_blobs (
		repository BIGINT NOT NULL,
		digest     BINARY NOT NULL,
		manifests  BIGINT NOT NULL, -- that refer to it
		total      BIGINT NOT NULL, -- its size, once for each of them
		PRIMARY KEY (repository, digest)
	) CLUSTERED;

	CREATE TABLE catalog_pulls (
		manifest BIGINT NOT NULL,
		day      BIGINT NOT NULL, -- since 1970, UTC
		pulls    BIGINT NOT NULL,
		PRIMARY KEY (manifest, day)
	) CLUSTERED;

	-- The key of the cursors of lists, in one row. A rebuild creates another key.
	CREATE TABLE catalog_key (
		id  IDENT  NOT NULL PRIMARY KEY,
		key BINARY NOT NULL
	)`

// Projection returns the definition of the catalog.
func Projection() *projection.Definition {
	return &projection.Definition{
		Name:    "catalog",
		Version: version,
		Title:   "catalog",
		Lag:     "it does not have the latest events",
		Kinds:   []journal.Kind{journal.KindEvent, journal.KindChange},
		Tables: []string{
			"catalog_repositories", "catalog_manifests", "catalog_tags", "catalog_history", "catalog_blobs", "catalog_pulls", "catalog_key",
		},
		SQLite:     strings.NewReplacer(" IDENT ", " INTEGER ", " NAME ", " TEXT ", " BINARY ", " BLOB ", " CLUSTERED", " WITHOUT ROWID").Replace(tables),
		PostgreSQL: strings.NewReplacer(" IDENT ", " BIGINT ", " NAME ", ` TEXT COLLATE "C" `, " BINARY ", " BYTEA ", " CLUSTERED", "").Replace(tables),
		Apply:      apply,
	}
}
