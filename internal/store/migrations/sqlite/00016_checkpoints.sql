-- +goose Up

-- Signed roots of the journal's tree, the last of each minute; see internal/journal.
CREATE TABLE journal_checkpoints (
    size INTEGER NOT NULL PRIMARY KEY, -- of the tree
    at   INTEGER NOT NULL,             -- seconds since 1970
    note BLOB    NOT NULL
);

-- The public key of the one key that signs them, so that replicas do not sign with others.
CREATE TABLE journal_key (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    key TEXT    NOT NULL
);

-- +goose Down

DROP TABLE journal_key;
DROP TABLE journal_checkpoints;
