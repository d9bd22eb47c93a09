-- +goose Up

-- What limits sign-ins over all replicas and restarts. Names, addresses and principals are HMACs under
-- the key: without it, the rows say nothing of anybody.

-- One row, which is made when it is needed first.
CREATE TABLE limit_key (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    key BYTEA NOT NULL
);

-- Where names signed in.
CREATE TABLE limit_places (
    place BYTEA NOT NULL PRIMARY KEY, -- of name and prefix
    owner BYTEA NOT NULL,             -- of source and id: the places of a deleted principal go with it
    day   BIGINT NOT NULL              -- when it was last used, in days since 1970
);

CREATE INDEX limit_places_by_owner ON limit_places (owner, day);
CREATE INDEX limit_places_by_day ON limit_places (day);

-- Failures of names that have many: a bucket that leaks. Times are milliseconds since 1970.
CREATE TABLE limit_names (
    name  BYTEA NOT NULL PRIMARY KEY,
    empty BIGINT NOT NULL, -- when the bucket will be empty
    last  BIGINT NOT NULL  -- when it was charged last
);

CREATE INDEX limit_names_by_last ON limit_names (last);

-- Attempts that were sent to directories, each in a slot until it does not count any more.
CREATE TABLE limit_attempts (
    account BYTEA NOT NULL, -- of source, class and entry
    slot    BIGINT NOT NULL,
    until   BIGINT NOT NULL, -- milliseconds since 1970
    PRIMARY KEY (account, slot)
);

CREATE INDEX limit_attempts_by_until ON limit_attempts (until);

-- +goose Down

DROP TABLE limit_attempts;
DROP TABLE limit_names;
DROP TABLE limit_places;
DROP TABLE limit_key;
