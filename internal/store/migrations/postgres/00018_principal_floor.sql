-- +goose Up

-- Principals with smaller numbers can be deleted, so new blocks do not refer to them.
ALTER TABLE journal_head ADD COLUMN floor BIGINT NOT NULL DEFAULT 0;

-- +goose Down

ALTER TABLE journal_head DROP COLUMN floor;
