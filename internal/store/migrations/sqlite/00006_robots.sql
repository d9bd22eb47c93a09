-- +goose Up

-- The id of the namespace that a robot belongs to and is deleted with; '': none.
ALTER TABLE accounts ADD COLUMN namespace TEXT NOT NULL DEFAULT '';

CREATE INDEX accounts_by_namespace ON accounts (namespace, name) WHERE namespace <> '';

-- +goose Down

DROP INDEX accounts_by_namespace;
ALTER TABLE accounts DROP COLUMN namespace;
