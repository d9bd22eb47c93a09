package password

import (
	"container/list"
	"net/netip"
)

// queue is one class of those who wait for a limiter: lines that take turns. It is owned by the
// limiter's mu. All of its methods take a bounded number of steps, however many wait.
type queue struct {
	length  int                 // places in all lines
	lines   map[lineKey]*line   // there is no empty one
	turns   list.List           // of *line: the first is next
	lengths [][]*line           // lines by the number of their places; the last of them is not empty
	names   map[string][]*place // places by name
}

// lineKey is who waits in a line: an address; or a name, where the address is not known.
type lineKey struct {
	address netip.Addr
	name    string
}

// line is the places of one source, in the order of their arrival.
type line struct {
	key    lineKey
	places list.List // of *place
	turn   *list.Element
	all    []*place // in no order, to pick one at random
	rank   int      // index in queue.lengths[len(all)]
}

// place is a place in a line. Whoever takes it out of the queue closes ready.
type place struct {
	needs  need
	name   string
	queue  *queue
	line   *line
	at     *list.Element // in line.places
	index  int           // in line.all
	nameAt int           // in queue.names[name]
	lost   bool          // dropped, not let in; set before ready is closed
	ready  chan struct{}
}

func newQueue() *queue {
	return &queue{lines: make(map[lineKey]*line), names: make(map[string][]*place)}
}

// add puts a new place at the end of its line.
func (q *queue) add(key lineKey, name string, n need) *place {
	f := q.lines[key]
	if f == nil {
		f = &line{key: key}
		f.turn = q.turns.PushBack(f)
		q.lines[key] = f
	} else {
		q.unrank(f)
	}
	p := &place{needs: n, name: name, queue: q, line: f, index: len(f.all), ready: make(chan struct{})}
	p.at = f.places.PushBack(p)
	f.all = append(f.all, p)
	q.rank(f)
	q.length++
	if name != "" {
		p.nameAt = len(q.names[name])
		q.names[name] = append(q.names[name], p)
	}
	return p
}

// remove takes p out of its line.
func (q *queue) remove(p *place) {
	f := p.line
	q.unrank(f)
	f.places.Remove(p.at)
	last := len(f.all) - 1
	f.all[p.index] = f.all[last]
	f.all[p.index].index = p.index
	f.all[last] = nil
	f.all = f.all[:last]
	if last == 0 {
		q.turns.Remove(f.turn)
		delete(q.lines, f.key)
	} else {
		q.rank(f)
	}
	q.length--
	if p.name == "" {
		return
	}
	same := q.names[p.name]
	last = len(same) - 1
	same[p.nameAt] = same[last]
	same[p.nameAt].nameAt = p.nameAt
	same[last] = nil
	if last == 0 {
		delete(q.names, p.name)
		return
	}
	q.names[p.name] = same[:last]
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
	for len(q.lengths) <= n { // by one at most: a line grows by one place
		q.lengths = append(q.lengths, nil)
	}
	f.rank = len(q.lengths[n])
	q.lengths[n] = append(q.lengths[n], f)
}

// unrank is what undoes rank.
func (q *queue) unrank(f *line) {
	n := len(f.all)
	same := q.lengths[n]
	last := len(same) - 1
	same[f.rank] = same[last]
	same[f.rank].rank = f.rank
	same[last] = nil
	q.lengths[n] = same[:last]
	for n = len(q.lengths) - 1; n >= 0 && len(q.lengths[n]) == 0; n-- {
		q.lengths = q.lengths[:n]
	}
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
