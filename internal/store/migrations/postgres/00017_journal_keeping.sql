-- +goose Up

-- What was merged and removed in the journal; see internal/journal/keep.go. version counts the
-- transactions that changed stored blocks, so that each of them sees the blocks that it replaces.
CREATE TABLE journal_keeping (
    one     BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL,
    merged  BIGINT NOT NULL -- position up to which the blocks are merged
);

INSERT INTO journal_keeping (one, version, merged) SELECT 1, 0, base FROM journal_head;

-- Up to this position, the entries of a kind are removed.
CREATE TABLE journal_removed (
    kind       TEXT NOT NULL PRIMARY KEY,
    position   BIGINT NOT NULL,
    unreported BIGINT NOT NULL, -- removed entries that no entry of the journal reports yet
    total      BIGINT NOT NULL  -- removed entries
);

-- Size of the merged entries of a kind in each hour.
CREATE TABLE journal_sizes (
    kind    TEXT    NOT NULL,
    hour    BIGINT NOT NULL, -- since 1970
    entries BIGINT NOT NULL,
    bytes   BIGINT NOT NULL,
    PRIMARY KEY (kind, hour)
);

-- Position of the last merged entry that refers to the principal.
ALTER TABLE journal_principals ADD COLUMN used BIGINT NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE journal_principals DROP COLUMN used;
DROP TABLE journal_sizes;
DROP TABLE journal_removed;
DROP TABLE journal_keeping;
