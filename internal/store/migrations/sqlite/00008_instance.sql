-- +goose Up

-- One row: which database this is. A process that has it open finds out by the id that another one stands in its
-- place, and a marker beside the signing keys says which one a config had. Copies bear the id of what they were copied from.
CREATE TABLE instance (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    id  TEXT    NOT NULL -- 32 random hexadecimal digits
);

INSERT INTO instance (one, id) VALUES (1, lower(hex(randomblob(16))));

-- +goose Down

DROP TABLE instance;
