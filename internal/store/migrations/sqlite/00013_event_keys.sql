-- +goose Up

-- Keys of the events in the journal, to find repeated ones; see internal/journal. They begin with
-- the event's time, so that new ones are appended. Events that arrived before this migration are
-- not found.
DROP TABLE journal_events;

CREATE TABLE journal_events (
    at   INTEGER NOT NULL, -- microseconds since 1970, or a number of an epoch
    hash INTEGER NOT NULL, -- of registry and event id
    PRIMARY KEY (at, hash)
) WITHOUT ROWID;

-- +goose Down

DROP TABLE journal_events;

CREATE TABLE journal_events (
    epoch    INTEGER NOT NULL,
    key      BLOB NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (epoch, key)
) WITHOUT ROWID;
