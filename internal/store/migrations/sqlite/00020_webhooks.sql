-- +goose Up

-- The state of each webhook. Entries of the journal up to position were delivered, except those of
-- the repositories in waiting, a list in JSON. If off is not empty, nothing is delivered, for this
-- reason. Each change by an administrator increments revision. resend is the position after which
-- to begin again, or -1. Times are in milliseconds; 0 is never.
CREATE TABLE webhooks (
    name TEXT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL,
    resend BIGINT NOT NULL,
    off TEXT NOT NULL,
    position BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    failing BIGINT NOT NULL,
    next BIGINT NOT NULL,
    waiting TEXT NOT NULL
);

-- The last attempts to deliver entries.
CREATE TABLE webhook_attempts (
    webhook TEXT NOT NULL,
    number BIGINT NOT NULL,
    time BIGINT NOT NULL,
    position BIGINT NOT NULL,
    entry TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    status BIGINT NOT NULL,
    problem TEXT NOT NULL,
    duration BIGINT NOT NULL,
    PRIMARY KEY (webhook, number)
);

-- The one process that delivers. It increments beat while it works.
CREATE TABLE webhook_lease (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    beat BIGINT NOT NULL
);

-- +goose Down

DROP TABLE webhook_lease;
DROP TABLE webhook_attempts;
DROP TABLE webhooks;
