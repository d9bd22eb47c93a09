-- +goose Up

-- Roles and rules besides those of files, and the namespaces of teams. Times are milliseconds
-- since 1970. Ids are UUIDs of version 7 and are never reused.
CREATE TABLE rulebook_roles (
    id           TEXT   NOT NULL PRIMARY KEY,
    namespace_id TEXT   NOT NULL, -- the namespace that owns it; '': for all
    name         TEXT   NOT NULL,
    version      BIGINT NOT NULL, -- incremented by each change
    created      BIGINT NOT NULL,
    changed      BIGINT NOT NULL,
    actions      TEXT   NOT NULL, -- pull,push
    lifetime     BIGINT NOT NULL, -- of tokens, in milliseconds; 0: no limit
    UNIQUE (namespace_id, name)
);

CREATE TABLE rulebook_rules (
    id      TEXT   NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL UNIQUE,
    version BIGINT NOT NULL,
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    role    TEXT   NOT NULL, -- the role that it names; '': none
    content TEXT   NOT NULL  -- JSON
);

CREATE INDEX rulebook_rules_by_role ON rulebook_rules (role);

CREATE TABLE namespaces (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL UNIQUE,
    -- incremented by each change of the namespace, its members and its roles
    version    BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    changed    BIGINT NOT NULL,
    visibility TEXT   NOT NULL -- public, internal, private
);

CREATE TABLE namespace_members (
    namespace_id TEXT   NOT NULL,
    subject      TEXT   NOT NULL, -- user:ann, group:dev …
    role         TEXT   NOT NULL,
    created      BIGINT NOT NULL,
    PRIMARY KEY (namespace_id, subject)
);

CREATE INDEX namespace_members_by_subject ON namespace_members (subject);
CREATE INDEX namespace_members_by_role ON namespace_members (role);

-- The policies that were active, so that a decision can be explained by the policy that made
-- it.
CREATE TABLE rulebook_versions (
    id     TEXT   NOT NULL PRIMARY KEY, -- of the policy
    used   BIGINT NOT NULL,             -- when it last became active
    since  BIGINT NOT NULL,             -- when it first became active
    source BLOB   NOT NULL              -- roles and rules: JSON, compressed
);

-- +goose Down

DROP TABLE rulebook_versions;
DROP TABLE namespace_members;
DROP TABLE namespaces;
DROP TABLE rulebook_rules;
DROP TABLE rulebook_roles;
