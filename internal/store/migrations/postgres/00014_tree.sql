-- +goose Up

-- The Merkle tree over the entries; see internal/journal. Leaf 0 stands for the blocks that were
-- written before this migration, whose hashes form a chain. From here on, a block's hash is the
-- root of the tree after it.
-- base: position of the chain's last entry
ALTER TABLE journal_head ADD COLUMN base BIGINT NOT NULL DEFAULT 0;
-- chain: hash of the chain's last block
ALTER TABLE journal_head ADD COLUMN chain BYTEA NOT NULL DEFAULT '';
-- frontier: roots of the complete subtrees, the largest first
ALTER TABLE journal_head ADD COLUMN frontier BYTEA NOT NULL DEFAULT '';
UPDATE journal_head SET base = next - 1, chain = hash;

-- Roots of the complete subtrees of 256 leaves (level 8) and more.
CREATE TABLE journal_nodes (
    level  BIGINT NOT NULL,
    number BIGINT NOT NULL, -- of the subtree among those of its level
    hash   BYTEA  NOT NULL,
    PRIMARY KEY (level, number)
);

-- +goose Down

DROP TABLE journal_nodes;
ALTER TABLE journal_head DROP COLUMN frontier;
ALTER TABLE journal_head DROP COLUMN chain;
ALTER TABLE journal_head DROP COLUMN base;
