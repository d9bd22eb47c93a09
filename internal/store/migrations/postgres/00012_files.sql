-- +goose Up

-- One row, created on first use: the rules and roles of files that the journal last recorded.
-- New ones are compared with it. Replicas share it, and the first one with new files writes the
-- journal entry.
CREATE TABLE rulebook_files (
    one    BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    digest TEXT   COLLATE "C" NOT NULL, -- of the policy of files alone
    since  BIGINT NOT NULL, -- milliseconds since 1970
    source BYTEA  NOT NULL  -- as in rulebook_versions
);

-- +goose Down

DROP TABLE rulebook_files;
