-- +goose Up

-- One row, created on first use: the rules and roles of files that the journal last recorded.
-- New ones are compared with it. Replicas share it, and the first one with new files writes the
-- journal entry.
CREATE TABLE rulebook_files (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    digest TEXT    NOT NULL, -- of the policy of files alone
    since  INTEGER NOT NULL, -- milliseconds since 1970
    source BLOB    NOT NULL  -- as in rulebook_versions
);

-- +goose Down

DROP TABLE rulebook_files;
