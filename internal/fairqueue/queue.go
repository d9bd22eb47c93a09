package fairqueue

import (
	"container/list"
	"net/netip"
)

// queue is one class of waiting requests: lines that take turns. The limiter's mu protects it.
// The number of steps of a method does not depend on the number of waiting requests.
//
// A dummy place waits for its turn in its line, like a real place. But when its turn comes,
// nothing is computed for the dummy. So the dummy uses no capacity and delays nobody.
type queue struct {
	length  int                 // places, without dummies
	active  int                 // lines with a real place; each has a turn before a new request
	lines   map[lineKey]*line   // lines without places are removed
	turns   list.List           // of *line; the front is next
	lengths [][]*line           // active lines by number of places; the last element is not empty
	names   map[string][]*place // places and dummies by name
	dummies []*place            // unordered
}

// lineKey identifies a line: by address, or by name if the address is unknown.
type lineKey struct {
	address netip.Addr
	name    string
}

// line holds the places of one source in order of arrival.
type line struct {
	key    lineKey
	places list.List // of *place, including dummies
	turn   *list.Element
	all    []*place // without dummies, unordered, to draw a random place
	rank   int      // index in queue.lengths[len(all)], if there are places
}

// place is one waiting request. The function that removes the place from the queue closes the
// channel ready.
type place struct {
	needs  Need
	name   string
	dummy  bool
	queue  *queue
	line   *line
	at     *list.Element // in line.places
	index  int           // in line.all, or in queue.dummies for a dummy
	nameAt int           // in queue.names[name]
	lost   bool          // dropped instead of admitted; set before the channel ready is closed
	ready  chan struct{}
}

func newQueue() *queue {
	return &queue{lines: make(map[lineKey]*line), names: make(map[string][]*place)}
}

// add appends p to the line with the given key.
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

// remove removes p from its line.
func (q *queue) remove(p *place) {
	f := p.line
	f.places.Remove(p.at)
	if f.places.Len() == 0 {
		q.turns.Remove(f.turn)
		delete(q.lines, f.key)
	}
	if p.dummy {
		q.dummies = removeAt(q.dummies, p.index, func(moved *place) { moved.index = p.index })
	} else {
		q.unrank(f)
		f.all = removeAt(f.all, p.index, func(moved *place) { moved.index = p.index })
		q.rank(f)
		q.length--
	}
	if p.name == "" {
		return
	}
	same := removeAt(q.names[p.name], p.nameAt, func(moved *place) { moved.nameAt = p.nameAt })
	if len(same) == 0 {
		delete(q.names, p.name)
		return
	}
	q.names[p.name] = same
}

// removeAt removes element i of a list: the last element moves to index i. Before that, removeAt
// calls the function beforeMove with the last element.
func removeAt[E any](list []*E, i int, beforeMove func(*E)) []*E {
	last := len(list) - 1
	beforeMove(list[last])
	list[i], list[last] = list[last], nil
	return list[:last]
}

// drop removes p to make room for another request.
func (q *queue) drop(p *place) {
	q.remove(p)
	p.lost = true
	close(p.ready)
}

// rank adds the line f to the element of q.lengths for f's number of places.
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

// unrank undoes the effect of rank.
func (q *queue) unrank(f *line) {
	n := len(f.all)
	if n == 0 {
		return
	}
	q.lengths[n] = removeAt(q.lengths[n], f.rank, func(moved *line) { moved.rank = f.rank })
	for n = len(q.lengths) - 1; n >= 0 && len(q.lengths[n]) == 0; n-- {
		q.lengths = q.lengths[:n]
	}
	q.active--
}

// victim returns the place to drop for a new request in the line with the given key, or nil if
// nobody waits. The victim is a random place of the longest line. The new request counts as a
// place of its own line. So a source with most of the queue loses places to new requests of any
// source, even its own. If the line with the given key, together with the new request, is as long
// as the longest other line, the victim is from another line.
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

// nextPlace returns the place that has the next turn. At least one place must wait in the queue.
func (q *queue) nextPlace() *place {
	return q.turns.Front().Value.(*line).places.Front().Value.(*place)
}
