-- +goose Up

-- One row: the id of this database. A process that has the database open notices by the id that
-- it was replaced by another one. A marker beside the signing keys records the id that a config
-- used. A copy has the id of its source.
CREATE TABLE instance (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    id  TEXT   COLLATE "C" NOT NULL -- 32 random hexadecimal digits
);

INSERT INTO instance (one, id) VALUES (1, replace(gen_random_uuid()::text, '-', ''));

-- +goose Down

DROP TABLE instance;
