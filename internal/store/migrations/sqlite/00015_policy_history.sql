-- +goose Up

-- Which policy was in force when. A row is added when another policy comes into force. Its rules
-- are in rulebook_versions. Replicas share the rows: with the same files, all have the same policy.
CREATE TABLE rulebook_history (
    since  INTEGER NOT NULL, -- milliseconds since 1970
    policy TEXT    NOT NULL,
    files  TEXT    NOT NULL, -- the digest of the policy of files alone; or ''
    PRIMARY KEY (since, policy)
) WITHOUT ROWID;

-- +goose Down

DROP TABLE rulebook_history;
