-- +goose Up

-- Keys of the events in the journal, to find repeated ones; see internal/journal. They begin with
-- the event's time, so that new ones are appended. Events that arrived before this migration are
-- not found.
DROP TABLE journal_events;

CREATE TABLE journal_events (
    at   BIGINT NOT NULL, -- microseconds since 1970, or a number of an epoch
    hash BIGINT NOT NULL, -- of registry and event id
    PRIMARY KEY (at, hash)
);

-- +goose Down

DROP TABLE journal_events;

CREATE TABLE journal_events (
    epoch    BIGINT NOT NULL,
    key      BYTEA NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (epoch, key)
);
