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
	edges  edges
	globs  map[affix][]globEdge
	nodes  uint32
	lately []node // nodes that are made but not yet in use
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
	ends   *posting // rules of the names that end here
	below  *posting // rules of the names that go on from here: the pattern ends with /**
	star   *node
	more   *more  // what few nodes have
	from   *node  // where the literal edge to here begins; nil if there is none
	part   string // its text
	number uint32 // unlike that of any other node of the tree
	forks  bool   // literal edges lead from here
	stays  bool   // behind a **: it is reached again after each part
	joins  bool   // several ways through one name may come together here
}

type more struct {
	deep   *node
	person *node
	member *node
	claims []claimEdge
	shapes []shape // the lengths of the affixes that lead on from here, each pair once
}

type claimEdge struct {
	name string
	to   *node
}

type shape struct{ before, after uint16 }

func (t *tree) grow() *node {
	if len(t.lately) == 0 {
		t.lately = make([]node, 256)
	}
	n := &t.lately[0]
	t.lately = t.lately[1:]
	t.nodes++
	n.number = t.nodes
	return n
}

// planter adds rules to a tree.
type planter struct {
	*tree
	globbed  map[globKey]*node
	plants   []plant
	postings []posting // room for the next
	mentions int       // how many all plants have
}

// plant is a rule at a place.
type plant struct {
	at   *posting
	rule *rule
}

// globKey is a glob by its whole text, so that each leads to one node.
type globKey struct {
	from *node
	text string
}

// plant adds a rule under a pattern.
func (t *planter) plant(root *node, p pattern, r *rule) {
	n := root
	for i, part := range p {
		if part.kind == deep && i == len(p)-1 {
			t.post(&n.below, r)
			return
		}
		n = t.child(n, part)
	}
	t.post(&n.ends, r)
}

// post notes that the rule is at a place. The mentions are made when all are known.
func (t *planter) post(at **posting, r *rule) {
	if *at == nil {
		if len(t.postings) == 0 {
			t.postings = make([]posting, 256)
		}
		*at, t.postings = &t.postings[0], t.postings[1:]
	}
	p := *at
	if p.latest == r.number {
		return // the rule has the same pattern twice
	}
	p.latest = r.number
	p.expected += len(r.subjects)
	t.mentions += len(r.subjects)
	t.plants = append(t.plants, plant{p, r})
}

// child returns the node that the part leads to from n, and makes it if there is none.
func (t *planter) child(n *node, p part) *node {
	switch p.kind {
	case literal:
		hash := hashOf(p.text)
		to := t.edges.find(n, p.text, hash)
		if to == nil {
			to = t.grow()
			t.edges.add(n, to, p.text, hash)
		}
		return to
	case star:
		if n.star == nil {
			n.star = t.grow()
		}
		return n.star
	}

	if n.more == nil {
		n.more = &more{}
	}
	switch p.kind {
	case deep:
		if n.more.deep == nil {
			n.more.deep = t.grow()
			n.more.deep.stays, n.more.deep.joins = true, true
		}
		return n.more.deep
	case person:
		if n.more.person == nil {
			n.more.person = t.grow()
		}
		return n.more.person
	case member:
		if n.more.member == nil {
			n.more.member = t.grow()
		}
		return n.more.member
	case claim:
		for _, c := range n.more.claims {
			if c.name == p.text {
				return c.to
			}
		}
		to := t.grow()
		to.joins = true
		n.more.claims = append(n.more.claims, claimEdge{p.text, to})
		return to
	}
	return t.globChild(n, p)
}

func (t *planter) globChild(n *node, p part) *node {
	key := globKey{n, p.text}
	if to, ok := t.globbed[key]; ok {
		return to
	}
	to := t.grow()
	t.globbed[key] = to

	before, after, middle := cutGlob(p.text)
	around := affix{n, before, after}
	t.globs[around] = append(t.globs[around], globEdge{middle, to})
	is := shape{uint16(len(before)), uint16(len(after))}
	for _, s := range n.more.shapes {
		if s == is {
			return to
		}
	}
	n.more.shapes = append(n.more.shapes, is)
	return to
}

// finish makes the mentions at each place, all in one array.
func (t *planter) finish() {
	room := make([]mention, t.mentions)
	for _, plant := range t.plants {
		p, r := plant.at, plant.rule
		if p.mentions == nil {
			p.mentions, room = room[:0:p.expected], room[p.expected:]
		}
		for i := range r.subjects {
			p.mentions = append(p.mentions, mention{r.subjects[i].hash(), r.number, uint32(i)})
		}
		if len(p.mentions) == p.expected && len(p.mentions) > few {
			p.order()
		}
	}
}
