-- +goose Up

-- 1 if the password or secret was last set by a delegate: another person who is not an
-- administrator. The code calls it set_by_delegate.
ALTER TABLE accounts ADD COLUMN lent BIGINT NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE accounts DROP COLUMN lent;
