-- +goose Up

-- Whether the password or secret was set by somebody else, who was no administrator: 0 or 1.
ALTER TABLE accounts ADD COLUMN lent BIGINT NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE accounts DROP COLUMN lent;
