package fairqueue

import (
	"container/list"
	"net/netip"
)

// queue is one class of those who wait for a limiter: lines that take turns. It is owned by the
// limiter's mu. All of its methods take a bounded number of steps, however many wait.
//
// A dummy place is one for which nothing will be computed. It waits for its turn in its line as any other,
// so that it waits as long; it takes no room, and others wait no longer for it.
type queue struct {
	length  int                 // places, without dummies
	active  int                 // lines with at least one of them: as many turns does a newcomer wait
	lines   map[lineKey]*line   // there is no empty one
	turns   list.List           // of *line: the first is next
	lengths [][]*line           // active lines by the number of their places; the last of them is not empty
	names   map[string][]*place // places and dummies by name
	dummies []*place            // in no order
}

// lineKey is who waits in a line: an address; or a name, where the address is not known.
type lineKey struct {
	address netip.Addr
	name    string
}

// line is the places of one source, in the order of their arrival.
type line struct {
	key    lineKey
	places list.List // of *place, dummies among them
	turn   *list.Element
	all    []*place // without dummies; in no order, to pick one at random
	rank   int      // index in queue.lengths[len(all)], if that is not 0
}

// place is a place in a line. Whoever takes it out of the queue closes ready.
type place struct {
	needs  Need
	name   string
	dummy  bool
	queue  *queue
	line   *line
	at     *list.Element // in line.places
	index  int           // in line.all; of a dummy, in queue.dummies
	nameAt int           // in queue.names[name]
	lost   bool          // dropped, not let in; set before ready is closed
	ready  chan struct{}
}

func newQueue() *queue {
	return &queue{lines: make(map[lineKey]*line), names: make(map[string][]*place)}
}

// add puts p at the end of its line.
func (q *queue) add(key lineKey, p *place) *place {
	f := q.lines[key]
	if f == nil {
		f = &line{key: key}
		f.turn = q.turns.PushBack(f)
		q.lines[key] = f
	}
	p.queue, p.line, p.at = q, f, f.places.PushBack(p)
	if p.dummy {
		p.index = len(q.dummies)
		q.dummies = append(q.dummies, p)
	} else {
		q.unrank(f)
		p.index = len(f.all)
		f.all = append(f.all, p)
		q.rank(f)
		q.length++
	}
	if p.name != "" {
		p.nameAt = len(q.names[p.name])
		q.names[p.name] = append(q.names[p.name], p)
	}
	return p
}

// remove takes p out of its line.
func (q *queue) remove(p *place) {
	f := p.line
	f.places.Remove(p.at)
	if f.places.Len() == 0 {
		q.turns.Remove(f.turn)
		delete(q.lines, f.key)
	}
	if p.dummy {
		q.dummies = without(q.dummies, p.index, func(moved *place) { moved.index = p.index })
	} else {
		q.unrank(f)
		f.all = without(f.all, p.index, func(moved *place) { moved.index = p.index })
		q.rank(f)
		q.length--
	}
	if p.name == "" {
		return
	}
	same := without(q.names[p.name], p.nameAt, func(moved *place) { moved.nameAt = p.nameAt })
	if len(same) == 0 {
		delete(q.names, p.name)
		return
	}
	q.names[p.name] = same
}

// without returns list without its element i, which the last one replaces; moved is told of that one first.
func without[E any](list []*E, i int, moved func(*E)) []*E {
	last := len(list) - 1
	moved(list[last])
	list[i], list[last] = list[last], nil
	return list[:last]
}

// drop takes p out of its line for somebody else.
func (q *queue) drop(p *place) {
	q.remove(p)
	p.lost = true
	close(p.ready)
}

// rank files f under the number of its places.
func (q *queue) rank(f *line) {
	n := len(f.all)
	if n == 0 {
		return
	}
	for len(q.lengths) <= n {
		q.lengths = append(q.lengths, nil)
	}
	f.rank = len(q.lengths[n])
	q.lengths[n] = append(q.lengths[n], f)
	q.active++
}

// unrank is what undoes rank.
func (q *queue) unrank(f *line) {
	n := len(f.all)
	if n == 0 {
		return
	}
	q.lengths[n] = without(q.lengths[n], f.rank, func(moved *line) { moved.rank = f.rank })
	for n = len(q.lengths) - 1; n >= 0 && len(q.lengths[n]) == 0; n-- {
		q.lengths = q.lengths[:n]
	}
	q.active--
}

// victim returns the place that makes room for a new one in the line of that key: a random one of the
// longest line, as if the new one had joined already. So a source makes room for others first, and for
// itself where it has most of the queue. If all lines are as long as its own would be, one of the others
// is drawn. Nil: nobody waits.
func (q *queue) victim(key lineKey, random func(int) int) *place {
	if q.length == 0 {
		return nil
	}
	own := q.lines[key]
	longest := q.lengths[len(q.lengths)-1]
	f := own
	if own == nil || len(q.lengths)-1 > len(own.all) {
		f = longest[random(len(longest))]
	}
	return f.all[random(len(f.all))]
}

// next returns the place whose turn it is. Nil: nobody waits.
func (q *queue) next() *place {
	e := q.turns.Front()
	if e == nil {
		return nil
	}
	return e.Value.(*line).places.Front().Value.(*place)
}

// take removes p, whose turn it is. Its line goes to the end.
func (q *queue) take(p *place) {
	q.turns.MoveToBack(p.line.turn) // before it may be removed with its last place
	q.remove(p)
}
