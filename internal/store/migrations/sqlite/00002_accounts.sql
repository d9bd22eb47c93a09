-- +goose Up

-- Users and robots. Times are milliseconds since 1970; 0 is never. Ids are UUIDs of version 7
-- and are never reused.
CREATE TABLE accounts (
    id       TEXT   NOT NULL PRIMARY KEY,
    kind     TEXT   NOT NULL, -- user, robot
    name     TEXT   NOT NULL,
    version  BIGINT NOT NULL, -- incremented by each change
    created  BIGINT NOT NULL,
    changed  BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    disabled BIGINT NOT NULL, -- 0 or 1
    hash     TEXT   NOT NULL, -- of the password: argon2id or bcrypt; '': no password
    UNIQUE (kind, name)
);

CREATE TABLE account_groups (
    id      TEXT   NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL UNIQUE,
    version BIGINT NOT NULL,
    created BIGINT NOT NULL
);

CREATE TABLE account_members (
    group_id   TEXT NOT NULL,
    account_id TEXT NOT NULL,
    PRIMARY KEY (group_id, account_id)
);

CREATE INDEX account_members_by_account ON account_members (account_id);

-- Access tokens, robot secrets and refresh tokens. The secret itself is not stored.
CREATE TABLE account_tokens (
    id           TEXT   NOT NULL PRIMARY KEY,
    hash         BLOB   NOT NULL UNIQUE, -- SHA-256 of the secret
    purpose      TEXT   NOT NULL,        -- access, robot, refresh
    owner_kind   TEXT   NOT NULL,        -- user, robot, workload
    owner_source TEXT   NOT NULL,        -- accounts, htpasswd, ldap:corp …
    owner_id     TEXT   NOT NULL,        -- within its source
    owner_name   TEXT   NOT NULL,
    name         TEXT   NOT NULL, -- of an access token
    limits       TEXT   NOT NULL, -- JSON; '': none
    registry     TEXT   NOT NULL, -- of a refresh token
    client       TEXT   NOT NULL, -- of a refresh token
    -- id of the token that this one was made with; it expires with it; '': no parent
    parent       TEXT   NOT NULL,
    created      BIGINT NOT NULL,
    expires      BIGINT NOT NULL,
    used         BIGINT NOT NULL, -- updated at intervals
    used_from    TEXT   NOT NULL  -- address
);

CREATE INDEX account_tokens_by_owner ON account_tokens (owner_source, owner_id, id);
CREATE INDEX account_tokens_by_parent ON account_tokens (parent) WHERE parent <> '';
CREATE UNIQUE INDEX account_tokens_by_name ON account_tokens (owner_source, owner_id, name) WHERE purpose = 'access';

-- Secrets for creating the first administrator.
CREATE TABLE account_setup (
    hash    BLOB   NOT NULL PRIMARY KEY, -- SHA-256
    expires BIGINT NOT NULL
);

-- +goose Down

DROP TABLE account_setup;
DROP TABLE account_tokens;
DROP TABLE account_members;
DROP TABLE account_groups;
DROP TABLE accounts;
