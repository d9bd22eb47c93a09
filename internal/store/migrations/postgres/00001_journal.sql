-- +goose Up

-- A change counter for each topic. The transaction that changes a topic's data also increments
-- its counter.
CREATE TABLE changes (
    topic   TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    counter BIGINT NOT NULL
);

-- One row for each group commit. Times are milliseconds since 1970, taken from the entries'
-- ids. The hash covers the other columns; see internal/journal.
CREATE TABLE journal_blocks (
    first    BIGINT NOT NULL PRIMARY KEY, -- position of the first entry
    entries  BIGINT NOT NULL,             -- number of entries
    earliest BIGINT NOT NULL,
    latest   BIGINT NOT NULL,
    previous BYTEA  NOT NULL, -- hash of the block before; 32 zeros for the first
    hash     BYTEA  NOT NULL,
    content  BYTEA  NOT NULL
);

CREATE INDEX journal_blocks_by_time ON journal_blocks (latest, earliest);

-- One row: the state that the next block continues. It is updated in the block's transaction,
-- twice each time. The free space in its page makes these updates heap-only, so the index is
-- not written.
CREATE TABLE journal_head (
    one       BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    next      BIGINT NOT NULL, -- position of the next entry
    principal BIGINT NOT NULL, -- number of the next new principal
    hash      BYTEA  NOT NULL  -- of the last block
) WITH (fillfactor = 10);

INSERT INTO journal_head (one, next, principal, hash) VALUES (1, 1, 1, decode(repeat('00', 32), 'hex'));

-- Principals, usually one row each: a principal that the writer has evicted from memory is
-- stored again. Blocks refer to them by number and hash.
CREATE TABLE journal_principals (
    number    BIGINT NOT NULL PRIMARY KEY,
    hash      BYTEA  NOT NULL, -- SHA-256 of principal
    principal BYTEA  NOT NULL  -- JSON
);

-- Keys of the events in the journal, to drop repeated ones. Rows are deleted by age, whole
-- epochs at a time.
CREATE TABLE journal_events (
    epoch    BIGINT NOT NULL, -- number of a span of 15 days since 1970
    key      BYTEA  NOT NULL, -- of registry and event id
    position BIGINT NOT NULL,
    PRIMARY KEY (epoch, key)
);

-- +goose Down

DROP TABLE journal_events;
DROP TABLE journal_principals;
DROP TABLE journal_head;
DROP TABLE journal_blocks;
DROP TABLE changes;
