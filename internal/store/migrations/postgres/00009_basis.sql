-- +goose Up

-- What a refresh token or a session stands for: an HMAC, under the token's secret, of the generation of the password of
-- another source that it was made with; '' for others.
ALTER TABLE account_tokens ADD COLUMN basis TEXT NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE account_tokens DROP COLUMN basis;
