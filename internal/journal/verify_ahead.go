package journal

import (
	"errors"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
)

// checkedBlock has the results of checks of one block. These checks do not need earlier blocks.
type checkedBlock struct {
	block      *block
	open       *openBlock
	leaves     []leaf
	references *referenceChecker
	noted      [][]byte // public parts of entries; see isNoted

	opening, firstLine, reading error // errors of the three checks
}

// leaf is a leaf of the tree, or a subtree of removed entries.
type leaf struct {
	at              Position
	level           int
	hash            hash
	removed, erased bool
}

// checkBlock decompresses a block and computes its leaves. This is most of the work of Verify.
func checkBlock(d *decoder, b *block) *checkedBlock {
	c := &checkedBlock{block: b}
	if c.open, c.opening = d.open(b); c.opening != nil {
		return c
	}
	if c.open.form == 1 {
		c.reading = errors.New("it has format 1, but is in the tree")
		return c
	}
	c.firstLine = c.open.checkFirstLine()
	c.references = newReferences(c.open)
	c.leaves = make([]leaf, 0, len(c.open.entries)+len(c.open.removed))
	c.reading = c.open.visitLeaves(b, func(p *parts) error {
		if isNoted(p.public) {
			c.noted = append(c.noted, p.public)
		}
		return c.references.entry(p)
	}, func(l leaf) error {
		c.leaves = append(c.leaves, l)
		return nil
	})
	return c
}

// visitLeaves calls the function visit with each entry of a block, and the function add with the
// leaf of the entry. For a subtree of removed entries, it calls only the function add.
func (o *openBlock) visitLeaves(b *block, visit func(*parts) error, add func(leaf) error) error {
	var data []byte
	entries, removed := o.entries, o.removed
	for position := b.first; position < b.end(); {
		if len(removed) > 0 && removed[0].first == position {
			r := removed[0]
			if err := add(leaf{at: position, level: r.level, hash: r.hash, removed: true}); err != nil {
				return err
			}
			removed, position = removed[1:], position+1<<r.level
			continue
		}
		p, err := o.split(entries[0].line)
		if err == nil {
			err = visit(&p)
		}
		l := leaf{at: position}
		if err == nil {
			data, l.erased, err = o.appendLeaf(data[:0], &p)
		}
		if err != nil {
			return err
		}
		l.hash = tree.LeafHash(data)
		if err := add(l); err != nil {
			return err
		}
		entries, position = entries[1:], position+1
	}
	return nil
}
