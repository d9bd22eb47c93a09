-- +goose Up

-- A change counter for each topic. The transaction that changes a topic's data also increments
-- its counter.
CREATE TABLE changes (
    topic   TEXT    NOT NULL PRIMARY KEY,
    counter INTEGER NOT NULL
) WITHOUT ROWID;

-- One row for each group commit. Times are milliseconds since 1970, taken from the entries'
-- ids. The hash covers the other columns; see internal/journal. content is the last column, so
-- that reading the others reads no overflow pages.
CREATE TABLE journal_blocks (
    first    INTEGER NOT NULL PRIMARY KEY, -- position of the first entry
    entries  INTEGER NOT NULL,             -- number of entries
    earliest INTEGER NOT NULL,
    latest   INTEGER NOT NULL,
    previous BLOB    NOT NULL, -- hash of the block before; 32 zeros for the first
    hash     BLOB    NOT NULL,
    content  BLOB    NOT NULL
);

CREATE INDEX journal_blocks_by_time ON journal_blocks (latest, earliest);

-- One row: the state that the next block continues. It is updated in the block's transaction.
CREATE TABLE journal_head (
    one       INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    next      INTEGER NOT NULL, -- position of the next entry
    principal INTEGER NOT NULL, -- number of the next new principal
    hash      BLOB    NOT NULL  -- of the last block
);

INSERT INTO journal_head (one, next, principal, hash) VALUES (1, 1, 1, zeroblob(32));

-- Principals, usually one row each: a principal that the writer has evicted from memory is
-- stored again. Blocks refer to them by number and hash. Numbers ascend, so that inserts append
-- to the table.
CREATE TABLE journal_principals (
    number    INTEGER NOT NULL PRIMARY KEY,
    hash      BLOB    NOT NULL, -- SHA-256 of principal
    principal BLOB    NOT NULL  -- JSON
);

-- Keys of the events in the journal, to drop repeated ones. Rows are deleted by age, whole
-- epochs at a time.
CREATE TABLE journal_events (
    epoch    INTEGER NOT NULL, -- number of a span of 15 days since 1970
    key      BLOB    NOT NULL, -- of registry and event id
    position INTEGER NOT NULL,
    PRIMARY KEY (epoch, key)
) WITHOUT ROWID;

-- +goose Down

DROP TABLE journal_events;
DROP TABLE journal_principals;
DROP TABLE journal_head;
DROP TABLE journal_blocks;
DROP TABLE changes;
