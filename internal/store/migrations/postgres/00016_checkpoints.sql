-- +goose Up

-- Signed roots of the journal's tree, the last of each minute; see internal/journal.
CREATE TABLE journal_checkpoints (
    size BIGINT NOT NULL PRIMARY KEY, -- of the tree
    at   BIGINT NOT NULL,             -- seconds since 1970
    note BYTEA   NOT NULL
);

-- The public key of the one key that signs them, so that replicas do not sign with others.
CREATE TABLE journal_key (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    key TEXT COLLATE "C" NOT NULL
);

-- +goose Down

DROP TABLE journal_key;
DROP TABLE journal_checkpoints;
