-- +goose Up

-- Which policy was in force when. A row is added when another policy comes into force. Its rules
-- are in rulebook_versions. Replicas share the rows: with the same files, all have the same policy.
CREATE TABLE rulebook_history (
    since  BIGINT NOT NULL, -- milliseconds since 1970
    policy TEXT   COLLATE "C" NOT NULL,
    files  TEXT   COLLATE "C" NOT NULL, -- the digest of the policy of files alone; or ''
    PRIMARY KEY (since, policy)
);

-- +goose Down

DROP TABLE rulebook_history;
