-- +goose Up

-- The public keys that signed the journal's checkpoints before they were replaced.
CREATE TABLE journal_former_keys (
    key TEXT NOT NULL PRIMARY KEY
);

-- +goose Down

DROP TABLE journal_former_keys;
