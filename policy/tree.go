package policy

// tree is the index: which rules may a name concern? It is a trie over the path parts of patterns.
// One name leads to few of its nodes however many rules there are, since what can be written in
// many ways, the literal text of a part, is found in a map; and at a node, the rules of a subject
// are too.
//
//	team/app        -team-> . -app-> .          ends: here are the rules of just this name
//	team/**         -team-> .                   below: and here those of everything under it
//	*/app           -*-> . -app-> .
//	a/**/b          -a-> . -**-> . -b-> .       the node behind ** stays while parts go by
//	${user}/**      -${user}-> .
//	team-*/app      -team-*-> . -app-> .        found by the text around its *
//
// All trees of a policy share its tables, whose keys are a node and what leads on from it.
type tree struct {
	literals   literalIndex
	globs      map[affix][]globEdge
	nodes      uint32
	spareNodes []node // nodes that are made but not yet in use
}

// affix leads from a node by the text before the first * of a part and after its last.
type affix struct {
	from          *node
	before, after string
}

// globEdge is one of the globs with the same text around. Middle is what they have between two *;
// "" if the text around is all.
type globEdge struct {
	middle string
	to     *node
}

// node is a place that patterns lead to. It has 64 bytes, a line of a cache.
type node struct {
	ends        *postingList // rules of the names that end here
	below       *postingList // rules of the names that go on from here: the pattern ends with /**
	star        *node
	rare        *rareEdges // what few nodes have
	from        *node      // where the literal edge to here begins; nil if there is none
	part        string     // its text
	number      uint32     // unlike that of any other node of the tree
	hasLiterals bool       // literal edges lead from here
	repeats     bool       // behind a **: it is reached again after each part
	shared      bool       // several ways through one name may come together here
}

type rareEdges struct {
	deep   *node
	user   *node
	group  *node
	claims []claimEdge
	shapes []shape // the lengths of the affixes that lead on from here, each pair once
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

// planter adds rules to a tree.
type indexBuilder struct {
	*tree
	globNodes  map[globKey]*node
	placements []placement
	spareLists []postingList // room for the next
	entries    int           // how many all plants have
}

// plant is a rule at a place.
type placement struct {
	at   *postingList
	rule *rule
}

// globKey is a glob by its whole text, so that each leads to one node.
type globKey struct {
	from *node
	text string
}

// plant adds a rule under a pattern.
func (t *indexBuilder) add(root *node, p pattern, r *rule) {
	n := root
	for i, part := range p {
		if part.kind == doubleStar && i == len(p)-1 {
			t.post(&n.below, r)
			return
		}
		n = t.child(n, part)
	}
	t.post(&n.ends, r)
}

// post notes that the rule is at a place. The mentions are made when all are known.
func (t *indexBuilder) post(at **postingList, r *rule) {
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

// child returns the node that the part leads to from n, and makes it if there is none.
func (t *indexBuilder) child(n *node, p part) *node {
	switch p.kind {
	case literal:
		hash := hashOf(p.text)
		to := t.literals.find(n, p.text, hash)
		if to == nil {
			to = t.newNode()
			t.literals.add(n, to, p.text, hash)
		}
		return to
	case star:
		if n.star == nil {
			n.star = t.newNode()
		}
		return n.star
	}

	if n.rare == nil {
		n.rare = &rareEdges{}
	}
	switch p.kind {
	case doubleStar:
		if n.rare.deep == nil {
			n.rare.deep = t.newNode()
			n.rare.deep.repeats, n.rare.deep.shared = true, true
		}
		return n.rare.deep
	case userPlaceholder:
		if n.rare.user == nil {
			n.rare.user = t.newNode()
		}
		return n.rare.user
	case groupPlaceholder:
		if n.rare.group == nil {
			n.rare.group = t.newNode()
		}
		return n.rare.group
	case claimPlaceholder:
		for _, c := range n.rare.claims {
			if c.name == p.text {
				return c.to
			}
		}
		to := t.newNode()
		to.shared = true
		n.rare.claims = append(n.rare.claims, claimEdge{p.text, to})
		return to
	}
	return t.globChild(n, p)
}

func (t *indexBuilder) globChild(n *node, p part) *node {
	key := globKey{n, p.text}
	if to, ok := t.globNodes[key]; ok {
		return to
	}
	to := t.newNode()
	t.globNodes[key] = to

	before, after, middle := cutGlob(p.text)
	around := affix{n, before, after}
	t.globs[around] = append(t.globs[around], globEdge{middle, to})
	is := shape{uint16(len(before)), uint16(len(after))}
	for _, s := range n.rare.shapes {
		if s == is {
			return to
		}
	}
	n.rare.shapes = append(n.rare.shapes, is)
	return to
}

// finish makes the mentions at each place, all in one array.
func (t *indexBuilder) finish() {
	buf := make([]posting, t.entries)
	for _, placed := range t.placements {
		p, r := placed.at, placed.rule
		if p.entries == nil {
			p.entries, buf = buf[:0:p.expected], buf[p.expected:]
		}
		for i := range r.subjects {
			p.entries = append(p.entries, posting{r.subjects[i].hash(), r.number, uint32(i)})
		}
		if len(p.entries) == p.expected && len(p.entries) > maxLinearScan {
			p.order()
		}
	}
}
