-- +goose Up

-- The last sign-in of each person who is known to an issuer of ID tokens and has tokens here:
-- the issuer cannot be asked about them later.
CREATE TABLE sign_ins (
    source    TEXT    NOT NULL, -- oidc:sso
    id        TEXT    NOT NULL, -- of the person, at that source
    name      TEXT    NOT NULL,
    who       TEXT    NOT NULL, -- groups and claims, as JSON
    signed_in INTEGER NOT NULL, -- milliseconds since 1970; 0: the last one was refused
    PRIMARY KEY (source, id)
);

CREATE INDEX sign_ins_by_name ON sign_ins (source, name);

-- +goose Down

DROP TABLE sign_ins;
