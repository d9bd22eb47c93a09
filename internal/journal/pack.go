package journal

import (
	"math"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tidewaiter/tidewaiter/internal/journal/tree"
)

// packer builds the content of a block of format 2 from lines of other blocks.
type packer struct {
	first, next Position
	base        Position // the position of leaf 0 of the tree
	principals  []principalRef
	places      map[principalRef]int // indexes in principals
	rules       [][]byte             // the JSON of the rules
	ruleIndex   map[string]int       // indexes in rules
	lines       []byte
	removed     []tree.Node // complete subtrees of removed entries at the end of the block
	kept        int         // number of kept entries
	// Times of the ids of the kept entries, in milliseconds since 1970.
	earliest, latest int64
}

// newPacker returns a packer for a block that begins at a position.
func newPacker(base, first Position) *packer {
	return &packer{
		base: base, first: first, next: first, places: make(map[principalRef]int), ruleIndex: make(map[string]int),
		earliest: math.MaxInt64, latest: math.MinInt64,
	}
}

// add adds the line of an entry of another block.
func (k *packer) add(o *openBlock, line []byte) error {
	p, err := o.split(line)
	if err != nil {
		return err
	}
	id, err := readID(p.public)
	if err != nil {
		return err
	}
	k.flushRemoved()
	principal := -1
	if p.principal >= 0 {
		ref := o.principals[p.principal]
		var ok bool
		if principal, ok = k.places[ref]; !ok {
			principal = len(k.principals)
			k.places[ref] = principal
			k.principals = append(k.principals, ref)
		}
	}
	rules := make([]int, len(p.rules))
	for i, n := range p.rules {
		text := o.ruleTexts[n]
		number, ok := k.ruleIndex[string(text)]
		if !ok {
			number = len(k.rules)
			k.ruleIndex[string(text)] = number
			k.rules = append(k.rules, text)
		}
		rules[i] = number
	}
	b := appendRefs(k.lines, principal, rules)
	b = append(append(b, '\t'), p.public...)
	b = append(append(b, '\t'), p.private...)
	k.lines = append(b, '\n')
	k.earliest, k.latest = min(k.earliest, id.milliseconds()), max(k.latest, id.milliseconds())
	k.kept++
	k.next++
	return nil
}

// remove adds a complete subtree of removed entries. Two neighboring subtrees become one larger
// subtree.
func (k *packer) remove(level int, h hash) {
	n := tree.Node{Level: level, Number: int64(k.next-k.base) >> level, Hash: h}
	k.next += 1 << level
	for n.Number&1 == 1 && n.Level < tree.StoredLevel-1 && len(k.removed) > 0 {
		left := k.removed[len(k.removed)-1]
		if left.Level != n.Level || left.Number != n.Number-1 {
			break
		}
		k.removed = k.removed[:len(k.removed)-1]
		n = tree.Node{Level: n.Level + 1, Number: n.Number >> 1, Hash: tlog.NodeHash(left.Hash, n.Hash)}
	}
	k.removed = append(k.removed, n)
}

func (k *packer) flushRemoved() {
	for _, n := range k.removed {
		k.lines = append(k.lines, '~')
		k.lines = strconv.AppendInt(k.lines, int64(n.Level), 10)
		k.lines = append(k.lines, ' ')
		k.lines = append(appendHash(k.lines, n.Hash), '\n')
	}
	k.removed = k.removed[:0]
}

// isGroup reports whether the block is a whole group of 256 leaves. In the first group, leaf 0 is
// not an entry.
func (k *packer) isGroup() bool {
	from, to := int64(k.first-k.base), int64(k.next-k.base)
	if from == 1 {
		from = 0
	}
	return from%tree.GroupSize == 0 && to == from+tree.GroupSize
}

// content returns the block's content.
func (k *packer) content() []byte {
	k.flushRemoved()
	first := appendFirstLine(nil, k.principals, len(k.rules), func(i int) []byte { return k.rules[i] })
	return append(first, k.lines...)
}
