-- +goose Up

-- One row, which is made when it is needed first: the rules and roles of files that the journal spoke of
-- last, against which those that come into force are held. Replicas share it, and the first of them that has
-- new files writes the entry.
CREATE TABLE rulebook_files (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    digest TEXT    NOT NULL, -- of the policy of files alone
    since  INTEGER NOT NULL, -- milliseconds since 1970
    source BLOB    NOT NULL  -- as in rulebook_versions
);

-- +goose Down

DROP TABLE rulebook_files;
