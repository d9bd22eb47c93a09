-- +goose Up

-- One row: the id of this database. A process that has the database open notices by the id that
-- it was replaced by another one. A marker beside the signing keys records the id that a config
-- used. A copy has the id of its source.
CREATE TABLE instance (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id  TEXT    NOT NULL -- 32 random hexadecimal digits
);

INSERT INTO instance (one, id) VALUES (1, lower(hex(randomblob(16))));

-- +goose Down

DROP TABLE instance;
