-- +goose Up

-- Expired tokens are looked up each hour, among all others.
CREATE INDEX account_tokens_by_end ON account_tokens (expires) WHERE expires <> 0;
CREATE INDEX account_tokens_by_age ON account_tokens (purpose, created);

-- +goose Down

DROP INDEX account_tokens_by_age;
DROP INDEX account_tokens_by_end;
