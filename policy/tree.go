package policy

import (
	"slices"

	"github.com/tidewaiter/tidewaiter/policy/internal/match"
)

// tree is the index that finds the rules for a name. It is a trie over the path parts of
// patterns. A name leads to few nodes of the trie, even if there are many rules. Hash tables find
// the literal text of a part, the text around a *, and the subjects of the rules at a node.
//
//	team/app        -team-> . -app-> .          ends: the rules of just this name
//	team/**         -team-> .                   below: the rules of everything under it
//	*/app           -*-> . -app-> .
//	a/**/b          -a-> . -**-> . -b-> .       the node behind ** stays active for later parts
//	${user}/**      -${user}-> .
//	team-*/app      -team-*-> . -app-> .        found by the text around its *
//
// A policy has several roots, one for each registry and type. The trees below all roots share the
// tables of this struct. In these tables, the key of an edge is the node where the edge begins,
// together with the text of the edge.
type tree struct {
	literals   literalIndex
	globs      map[affix][]globEdge
	nodes      uint32
	spareNodes []node // allocated, not yet in use
}

// affix is the key of all globs that have the same text before the first * and the same text
// after the last *.
type affix struct {
	from          *node
	before, after string
}

// globEdge is the edge of one glob. Globs with the same affix are in one list. The field middle is
// the text between the first * and the last *, or "" if there is only one *.
type globEdge struct {
	middle string
	to     *node
}

// node is a node of the trie. It has 64 bytes, the size of a cache line.
type node struct {
	ends        *postingList // rules whose names end at this node
	below       *postingList // rules whose patterns continue with a final **
	star        *node
	rare        *rareEdges // edges that few nodes have
	from        *node      // start of the literal edge to this node; nil: no such edge
	part        string     // the text of the edge that begins at from
	number      uint32     // unique in the tree
	hasLiterals bool       // literal edges begin at this node
	repeats     bool       // the node is behind a **, so it stays active after each part
	shared      bool       // one name may lead to this node in several ways
}

// rareEdges has all edges of a node except the literal edges and the edge for *.
type rareEdges struct {
	deep   *node
	user   *node
	group  *node
	claims []claimEdge
	shapes []shape // the pairs of lengths of the node's affixes, without duplicates
}

type claimEdge struct {
	name string
	to   *node
}

type shape struct{ before, after uint16 }

func (t *tree) newNode() *node {
	if len(t.spareNodes) == 0 {
		t.spareNodes = make([]node, 256)
	}
	n := &t.spareNodes[0]
	t.spareNodes = t.spareNodes[1:]
	t.nodes++
	n.number = t.nodes
	return n
}

// indexBuilder adds rules to a tree.
type indexBuilder struct {
	*tree
	globNodes  map[globKey]*node
	placements []placement
	spareLists []postingList // allocated, not yet in use
	entries    int           // the number of postings of all lists
}

// placement is a rule together with the posting list that it belongs to.
type placement struct {
	at   *postingList
	rule *rule
}

// globKey is a node and the whole text of a glob edge that begins at the node. Equal globs at
// one node lead to the same node.
type globKey struct {
	from *node
	text string
}

// add adds the rule r to the tree below root, at the node that the pattern p leads to.
func (t *indexBuilder) add(root *node, p match.Pattern, r *rule) {
	n := root
	for i, part := range p {
		if part.Kind == match.DoubleStar && i == len(p)-1 {
			t.addPlacement(&n.below, r)
			return
		}
		n = t.child(n, part)
	}
	t.addPlacement(&n.ends, r)
}

// addPlacement records that a rule belongs to a list. The method finish creates the postings.
func (t *indexBuilder) addPlacement(at **postingList, r *rule) {
	if *at == nil {
		if len(t.spareLists) == 0 {
			t.spareLists = make([]postingList, 256)
		}
		*at, t.spareLists = &t.spareLists[0], t.spareLists[1:]
	}
	p := *at
	if p.latest == r.number {
		return // the rule has the same pattern twice
	}
	p.latest = r.number
	p.expected += len(r.subjects)
	t.entries += len(r.subjects)
	t.placements = append(t.placements, placement{p, r})
}

// child returns the node to which the part leads from n. If that node does not exist, child
// creates it.
func (t *indexBuilder) child(n *node, p match.Part) *node {
	switch p.Kind {
	case match.Literal:
		hash := hashOf(p.Text)
		to := t.literals.find(n, p.Text, hash)
		if to == nil {
			to = t.newNode()
			t.literals.add(n, to, p.Text, hash)
		}
		return to
	case match.Star:
		return t.ensure(&n.star)
	}

	if n.rare == nil {
		n.rare = &rareEdges{}
	}
	switch p.Kind {
	case match.DoubleStar:
		deep := t.ensure(&n.rare.deep)
		deep.repeats, deep.shared = true, true
		return deep
	case match.UserPlaceholder:
		return t.ensure(&n.rare.user)
	case match.GroupPlaceholder:
		return t.ensure(&n.rare.group)
	case match.ClaimPlaceholder:
		for _, c := range n.rare.claims {
			if c.name == p.Text {
				return c.to
			}
		}
		to := t.newNode()
		to.shared = true
		n.rare.claims = append(n.rare.claims, claimEdge{p.Text, to})
		return to
	}
	return t.globChild(n, p)
}

// ensure returns *at. If *at is nil, it creates a node there.
func (t *indexBuilder) ensure(at **node) *node {
	if *at == nil {
		*at = t.newNode()
	}
	return *at
}

func (t *indexBuilder) globChild(n *node, p match.Part) *node {
	key := globKey{n, p.Text}
	if to, ok := t.globNodes[key]; ok {
		return to
	}
	to := t.newNode()
	t.globNodes[key] = to

	before, after, middle := match.CutGlob(p.Text)
	around := affix{n, before, after}
	t.globs[around] = append(t.globs[around], globEdge{middle, to})
	if is := (shape{uint16(len(before)), uint16(len(after))}); !slices.Contains(n.rare.shapes, is) {
		n.rare.shapes = append(n.rare.shapes, is)
	}
	return to
}

// finish creates the postings of all lists in one array.
func (t *indexBuilder) finish() {
	buf := make([]posting, t.entries)
	for _, placed := range t.placements {
		p, r := placed.at, placed.rule
		if p.entries == nil {
			p.entries, buf = buf[:0:p.expected], buf[p.expected:]
		}
		for i := range r.subjects {
			p.entries = append(p.entries, posting{hashOfSubject(r.subjects[i]), r.number, uint32(i)})
		}
		if len(p.entries) == p.expected && len(p.entries) > maxLinearScan {
			p.sortIntoBuckets()
		}
	}
}
