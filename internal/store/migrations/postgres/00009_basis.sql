-- +goose Up

-- What a refresh token or session depends on: an HMAC, under the token's secret, of the
-- generation of the password that it was made with, if another source has the password; '' for
-- others.
ALTER TABLE account_tokens ADD COLUMN basis TEXT NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE account_tokens DROP COLUMN basis;
