-- +goose Up

-- What was made with a key of the caller's, so that it is made once, however often it is tried. Kept for a day.
CREATE TABLE account_keys (
    hash    BLOB   NOT NULL PRIMARY KEY, -- SHA-256 of the caller and the key
    action  TEXT   NOT NULL, -- user.add …
    target  TEXT   NOT NULL, -- the name
    made    TEXT   NOT NULL, -- the id of what was made
    created BIGINT NOT NULL
);

CREATE INDEX account_keys_by_created ON account_keys (created);

-- +goose Down

DROP TABLE account_keys;
