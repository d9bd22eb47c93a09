package fairqueue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// enter calls Enter in a goroutine. When Enter returns, the goroutine sends the name to the given
// channel, together with the error if there is one.
func enter(ctx context.Context, l *Limiter, n Need, name string, in chan<- string) {
	go func() {
		if err := l.Enter(ctx, Requester{}, n); err != nil {
			in <- name + ": " + err.Error()
			return
		}
		in <- name
	}()
	synctest.Wait()
}

func TestRequestsAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{All: Need{Slots: 2, Memory: 100}, Places: 10, Wait: time.Minute, Random: pickFirst})
		in := make(chan string, 10)
		small, big := Need{Slots: 1, Memory: 40}, Need{Slots: 1, Memory: 1000} // big runs alone
		enter(t.Context(), l, small, "first", in)
		enter(t.Context(), l, big, "big", in)
		enter(t.Context(), l, small, "small", in) // "small" would fit, but "big" is first
		if got, want := drain(in), []string{"first"}; !cmp.Equal(got, want) {
			t.Errorf("in the limiter: %q, want %q", got, want)
		}
		l.Leave(small, 0)
		synctest.Wait()
		if got, want := drain(in), []string{"big"}; !cmp.Equal(got, want) {
			t.Errorf("then: %q, want %q", got, want)
		}
		l.Leave(big, 0)
		synctest.Wait()
		if got, want := drain(in), []string{"small"}; !cmp.Equal(got, want) {
			t.Errorf("then: %q, want %q", got, want)
		}
		l.Leave(small, 0)
		if l.free != l.o.All {
			t.Errorf("free at the end: %+v, want %+v", l.free, l.o.All)
		}
	})
}

func TestSmallRequestsEnterWhenABigOneGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{All: Need{Slots: 2, Memory: 100}, Places: 10, Wait: time.Minute, Random: pickFirst})
		in := make(chan string, 10)
		small, big := Need{Slots: 1, Memory: 40}, Need{Slots: 2, Memory: 100}
		enter(t.Context(), l, small, "first", in)
		ctx, leave := context.WithCancel(t.Context())
		enter(ctx, l, big, "big", in)
		enter(t.Context(), l, small, "small", in)
		leave()
		synctest.Wait()
		got := drain(in)
		slices.Sort(got[min(1, len(got)):]) // the last two return at the same moment
		if want := []string{"first", "big: context canceled", "small"}; !cmp.Equal(got, want) {
			t.Errorf("in the limiter: %q, want %q", got, want)
		}
	})
}

// pickFirst replaces Options.Random in tests: it always picks the first candidate.
func pickFirst(int) int { return 0 }

// arrivals lets requests enter one after the other and records the order in which the requests
// were admitted or refused.
type arrivals struct {
	t       *testing.T
	limiter *Limiter
	in      chan string
}

func (a *arrivals) come(label string, who Requester) {
	go func() {
		if err := a.limiter.Enter(a.t.Context(), who, Need{Slots: 1}); err != nil {
			label += ": " + err.Error()
		}
		a.in <- label
	}()
	synctest.Wait()
}

// serve finishes n requests, one after the other.
func (a *arrivals) serve(n int) {
	for range n {
		a.limiter.Leave(Need{Slots: 1}, 0)
		synctest.Wait()
	}
}

func at(name, address string) Requester {
	return Requester{Name: name, Address: netip.MustParseAddr(address)}
}

// In docker_auth, a flood of wrong passwords slowed down every client.
func TestAFloodWaitsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &arrivals{t, New(Options{All: Need{Slots: 1, Memory: 100}, Places: 16, Wait: time.Minute, Random: pickFirst}), make(chan string, 100)}
		a.come("in the limiter", at("first", "192.0.2.1"))
		for i := range 16 { // one source, because providers assign at least a /64
			label := fmt.Sprint("flood ", i)
			a.come(label, at(label, fmt.Sprintf("2001:db8::%x", i+1)))
		}
		if got, want := drain(a.in), []string{"in the limiter"}; !cmp.Equal(got, want) {
			t.Fatalf("at first: %q, want %q", got, want)
		}
		// The line of this source is the longest. So the next request of this source drops a
		// request of the same source.
		a.come("flood 16", at("flood 16", "2001:db8::1"))
		a.come("ann", at("ann", "192.0.2.7"))
		a.come("bob", at("bob", "192.0.2.8"))
		a.serve(4)
		busy := ": " + ErrBusy.Error()
		want := []string{
			"flood 0" + busy, "flood 15" + busy, "flood 16" + busy,
			"flood 1", "ann", "bob", "flood 2", // in turns
		}
		if got := drain(a.in); !cmp.Equal(got, want) {
			t.Errorf("then: %q, want %q", got, want)
		}
		a.serve(14)
	})
}

// A full queue must not refuse new requests. Otherwise the flood that filled the queue would keep
// all other requesters out.
func TestAFullQueueDropsARandomPlaceAndNotTheNewcomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		draws := []int{5, 0, 3, 0} // a line, and a place in it
		l := New(Options{All: Need{Slots: 1, Memory: 100}, Places: 16, Wait: time.Minute, Random: func(n int) int {
			i := draws[0]
			draws = draws[1:]
			if i >= n {
				t.Fatalf("Random was called with %d, want more than %d", n, i)
			}
			return i
		}})
		a := &arrivals{t, l, make(chan string, 100)}
		for i := range 17 {
			label := fmt.Sprint("flood ", i)
			a.come(label, at(label, fmt.Sprintf("192.0.2.%d", i)))
		}
		a.come("ann", at("ann", "198.51.100.1"))
		a.come("bob", at("bob", "198.51.100.2"))
		busy := ": " + ErrBusy.Error()
		if got, want := drain(a.in), []string{"flood 0", "flood 6" + busy, "flood 4" + busy}; !cmp.Equal(got, want) {
			t.Errorf("while requests arrive: %q, want %q", got, want)
		}
		a.serve(17)
		if got := drain(a.in); len(got) != 16 || got[14] != "ann" || got[15] != "bob" {
			t.Errorf("after serve: %q, want ann and bob at the end", got)
		}
	})
}

func TestKnownPlacesHaveThreeOfFourTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &arrivals{t, New(Options{All: Need{Slots: 1, Memory: 100}, Places: 16, Wait: time.Minute, Random: pickFirst}), make(chan string, 100)}
		known := func(name, address string) Requester {
			who := at(name, address)
			who.KnownPlace = true
			return who
		}
		a.come("in the limiter", at("first", "192.0.2.1"))
		for i := range 16 {
			a.come(fmt.Sprint("other ", i), at(fmt.Sprint(i), fmt.Sprintf("192.0.2.%d", i+2)))
		}
		for i := range 5 { // each replaces another request
			a.come(fmt.Sprint("known ", i), known(fmt.Sprint("known ", i), fmt.Sprintf("198.51.100.%d", i)))
		}
		drain(a.in)
		a.serve(9)
		want := []string{
			"known 0", "known 1", "known 2", "other 1", "known 3", "known 4",
			// No request from a known place waits any more.
			"other 2", "other 3", "other 4",
		}
		if got := drain(a.in); !cmp.Equal(got, want) {
			t.Errorf("requests were admitted in the order %q, want %q", got, want)
		}
		a.serve(10)
	})
}

func TestKnownPlacesMakeNoRoomForOthers(t *testing.T) {
	l := New(Options{All: Need{Slots: 1}, Places: 16, Wait: time.Minute, Random: pickFirst})
	for i := range 16 {
		who := at(fmt.Sprint(i), fmt.Sprintf("192.0.2.%d", i))
		who.KnownPlace = true
		l.joinLocked(who, Need{Slots: 1}, false)
	}
	if p := l.joinLocked(at("bob", "198.51.100.1"), Need{Slots: 1}, false); p != nil {
		t.Error("a request from an unknown place replaced a request from a known place")
	}
	who := at("ann", "198.51.100.2")
	who.KnownPlace = true
	if p := l.joinLocked(who, Need{Slots: 1}, false); p == nil || l.Waiting() != 16 {
		t.Errorf("another request from a known place: got the place %v, and %d requests wait; want a place and 16", p, l.Waiting())
	}
}

// An attacker who fills the places of a name must not keep the owner of the name out.
func TestOneNameHasAPartOfEachClass(t *testing.T) {
	l := New(Options{All: Need{Slots: 1}, Places: 32, Wait: time.Minute, Random: pickFirst})
	var places []*place
	join := func(i int, known bool) {
		who := at("ann", fmt.Sprintf("10.0.0.%d", i))
		who.KnownPlace = known
		places = append(places, l.joinLocked(who, Need{Slots: 1}, false))
	}
	for i := range 5 {
		join(i, false)
	}
	join(5, true) // the other class has places for the name
	var lost []bool
	for _, p := range places {
		lost = append(lost, p == nil || p.lost)
	}
	if want := []bool{true, false, false, false, false, false}; !cmp.Equal(lost, want) {
		t.Errorf("which requests have no place: %t, want %t", lost, want)
	}
}

// If requests are slow, the limit of a name is a part of the longest wait instead of a part of the
// queue.
func TestAFewNamesCannotFillTheWait(t *testing.T) {
	l := New(Options{All: Need{Slots: 1}, Places: 256, Wait: 10 * time.Second, Random: pickFirst})
	for _, tt := range []struct {
		turn time.Duration
		want int
	}{{0, 32}, {10 * time.Millisecond, 32}, {50 * time.Millisecond, 25}, {250 * time.Millisecond, 5}, {3 * time.Second, 1}} {
		l.turn = tt.turn
		if got := l.nameLimitLocked(); got != tt.want {
			t.Errorf("requests of %s: a name may have %d places, want %d", tt.turn, got, tt.want)
		}
	}
}

// A request that is admitted at the moment it gives up must release its capacity.
func TestALateAdmissionIsReleased(t *testing.T) {
	l := New(Options{All: Need{Slots: 1, Memory: 100}, Places: 10, Wait: time.Minute, Random: pickFirst})
	n := Need{Slots: 1, Memory: 40}
	if err := l.Enter(t.Context(), Requester{}, n); err != nil {
		t.Fatal(err)
	}
	late := l.joinLocked(Requester{}, n, false)
	l.Leave(n, 0) // admits the waiting request
	if err := l.giveUp(late, ErrBusy); !errors.Is(err, ErrBusy) || l.free != l.o.All {
		t.Errorf("after giving up with %v, %+v of %+v is free", err, l.free, l.o.All)
	}
}

func drain(in <-chan string) (names []string) {
	for {
		select {
		case name := <-in:
			names = append(names, name)
		default:
			return names
		}
	}
}

// Requests arrive, leave and give up in any sequence. The used capacity and the queue never exceed
// their limits, and at the end all capacity is free.
func TestTheLimiterKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		requesters := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Requester {
			return Requester{
				Name:       rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(rt, "name"),
				Address:    rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}).Draw(rt, "address"),
				KnownPlace: rapid.Bool().Draw(rt, "known place"),
			}
		}), 40, 40).Draw(rt, "requesters")
		all := Need{Slots: rapid.IntRange(1, 4).Draw(rt, "threads"), Memory: rapid.Int64Range(1, 100).Draw(rt, "memory")}
		limit := rapid.IntRange(1, 5).Draw(rt, "limit")
		ops := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 40).Draw(rt, "ops")
		took := rapid.SampledFrom([]time.Duration{0, 10 * time.Second}).Draw(rt, "a hash takes")
		needs := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Need {
			return Need{Slots: rapid.IntRange(1, 6).Draw(rt, "t"), Memory: rapid.Int64Range(0, 150).Draw(rt, "m")}
		}), 40, 40).Draw(rt, "needs")
		draws := rapid.SliceOfN(rapid.IntRange(0, 1000), 10, 10).Draw(rt, "draws")
		synctest.Test(t, func(*testing.T) {
			drawn := 0
			l := New(Options{All: all, Places: limit, Wait: time.Minute, Random: func(n int) int {
				drawn++
				return draws[drawn%len(draws)] % n
			}})
			l.turn = took
			type guest struct {
				needs  Need
				leave  context.CancelFunc
				inside bool
				gone   bool
			}
			var guests []*guest
			for i, op := range ops {
				switch op {
				case 0, 1, 4: // arrives; 4 is a dummy
					ctx, cancel := context.WithCancel(context.Background())
					g := &guest{needs: needs[i], leave: cancel}
					guests = append(guests, g)
					go func() {
						compute, err := l.await(ctx, requesters[i], g.needs, op == 4)
						g.inside, g.gone = compute, !compute
						if err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, context.Canceled) {
							rt.Errorf("entering: %v", err)
						}
					}()
				case 2: // leaves
					for _, g := range guests {
						if g.inside {
							g.inside, g.gone = false, true
							l.Leave(g.needs, took)
							break
						}
					}
				case 3: // gives up
					for _, g := range guests {
						if !g.inside && !g.gone {
							g.leave()
							break
						}
					}
				}
				synctest.Wait()
				taken := Need{}
				for _, g := range guests {
					if g.inside {
						taken.Slots += l.fit(g.needs).Slots
						taken.Memory += l.fit(g.needs).Memory
					}
				}
				if want := (Need{all.Slots - taken.Slots, all.Memory - taken.Memory}); l.free != want || want.Slots < 0 || want.Memory < 0 {
					rt.Errorf("free: %+v, want %+v", l.free, want)
				}
				if n := l.Waiting(); n > limit {
					rt.Errorf("%d requests wait, want at most %d", n, limit)
				}
				for _, q := range l.classes {
					if n := len(q.dummies); n > limit*dummyShare {
						rt.Errorf("%d dummies wait, want at most %d", n, limit*dummyShare)
					}
					checkQueue(rt, q)
				}
			}
			for range guests { // each round admits the next request
				for _, g := range guests {
					if g.inside {
						g.inside, g.gone = false, true
						l.Leave(g.needs, took)
						synctest.Wait() // another request is admitted
					}
				}
			}
			for _, g := range guests {
				if !g.gone {
					rt.Errorf("a request that needs %+v was never admitted", g.needs)
				}
				g.leave()
			}
			for _, q := range l.classes {
				if len(q.lines)+q.turns.Len()+len(q.names)+len(q.lengths)+len(q.dummies)+q.active != 0 {
					rt.Errorf("at the end there are %d lines, %d turns, %d names, %d lengths, %d dummies and %d active lines", len(q.lines), q.turns.Len(), len(q.names), len(q.lengths), len(q.dummies), q.active)
				}
			}
			if l.free != l.o.All || l.Waiting() != 0 {
				rt.Errorf("at the end, %+v of %+v is free, and %d requests wait", l.free, l.o.All, l.Waiting())
			}
		})
	})
}

// checkQueue compares the indexes of a queue with its places.
func checkQueue(t *rapid.T, q *queue) {
	length, active, dummies, names := 0, 0, 0, 0
	for key, f := range q.lines {
		if f.key != key || f.places.Len() == 0 || f.turn.Value != f {
			t.Errorf("the line of %v has the key %v and %d places", key, f.key, f.places.Len())
		}
		length += len(f.all)
		dummies += f.places.Len() - len(f.all)
		for i, p := range f.all {
			if p.index != i || p.line != f || p.dummy {
				t.Errorf("place %d of a line: index %d, dummy %t", i, p.index, p.dummy)
			}
		}
		if n := len(f.all); n > 0 {
			active++
			if q.lengths[n][f.rank] != f {
				t.Errorf("a line of %d places is not in the list of such lines", n)
			}
		}
	}
	for i, p := range q.dummies {
		if p.index != i || !p.dummy {
			t.Errorf("dummy %d: index %d, dummy %t", i, p.index, p.dummy)
		}
	}
	for name, same := range q.names {
		for i, p := range same {
			if p.name != name || p.nameAt != i {
				t.Errorf("place %d of %q: %q, %d", i, name, p.name, p.nameAt)
			}
			names++
		}
	}
	got := []int{q.length, q.active, len(q.dummies), q.turns.Len()}
	if want := []int{length, active, dummies, len(q.lines)}; !cmp.Equal(got, want) || names > length+dummies {
		t.Errorf("length, active lines, dummies, turns: %d, want %d; %d names", got, want, names)
	}
}

// floodedLimiter returns a limiter whose only slot is occupied. The given number of sources
// wait, each with the given number of requests.
func floodedLimiter(t *testing.T, sources, requests int) *arrivals {
	a := &arrivals{t, New(Options{All: Need{Slots: 1}, Places: 256, Wait: 10 * time.Second, Random: pickFirst}), make(chan string, 1000)}
	a.limiter.turn = 50 * time.Millisecond
	a.come("in the limiter", at("first", "192.0.2.255"))
	for i := range sources * requests {
		label := fmt.Sprint("flood ", i)
		a.come(label, at(label, fmt.Sprintf("192.0.2.%d", i%sources)))
	}
	return a
}

func (a *arrivals) comeDummy(label string, who Requester) {
	go func() {
		compute, err := a.limiter.EnterDummy(a.t.Context(), who, Need{Slots: 1})
		a.in <- fmt.Sprint(label, ": compute ", compute, ", error ", err)
	}()
	synctest.Wait()
}

// An attacker who can fill the queue must not learn from the wait which names exist.
func TestADummyWaitsWhereAHashWould(t *testing.T) {
	for _, tt := range []struct{ probe, answer string }{
		{"hash", "probe"},
		{"dummy", "probe: compute false, error <nil>"},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := floodedLimiter(t, 30, 2)
			a.come("before", at("before", "198.51.100.1"))
			if tt.probe == "hash" {
				a.come("probe", at("nobody", "198.51.100.2"))
			} else {
				a.comeDummy("probe", at("nobody", "198.51.100.2"))
			}
			a.come("behind", at("behind", "198.51.100.3"))
			drain(a.in)
			a.serve(32)
			got := drain(a.in)
			for i := range 30 {
				if want := fmt.Sprint("flood ", i); got[i] != want {
					t.Errorf("%s: at turn %d: %q, want %q", tt.probe, i, got[i], want)
				}
			}
			// The request "behind" can be admitted at the same moment as a dummy, because a
			// dummy uses no turn.
			if got[30] != "before" || !slices.Contains(got[31:], tt.answer) {
				t.Errorf("%s: after the flood, %q were admitted, want before, then %q", tt.probe, got[30:], tt.answer)
			}
			a.serve(40)
		})
	}
}

// A single flooding source delays a new request by one turn. In this case, dummies do their work,
// so the source does not learn which names exist.
func TestDummiesAreSkippedOnlyBesideManySources(t *testing.T) {
	for _, tt := range []struct {
		sources, places int
		known           bool
		turn            time.Duration
		want            bool // crowded
	}{
		{sources: 1, places: 255, turn: 50 * time.Millisecond},
		{sources: 19, places: 1, turn: 50 * time.Millisecond},
		{sources: 20, places: 1, turn: 50 * time.Millisecond, want: true}, // 1 s, a tenth of Wait
		{sources: 5, places: 1, turn: 50 * time.Millisecond, known: true, want: true},
		{sources: 127, places: 1, turn: time.Millisecond},
		{sources: 128, places: 1, turn: time.Millisecond, want: true}, // half of the 256 places
		{sources: 4, places: 1, turn: 250 * time.Millisecond, want: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := floodedLimiter(t, tt.sources, tt.places)
			a.limiter.turn = tt.turn
			if tt.known {
				who := at("known", "198.51.100.9")
				who.KnownPlace = true
				a.come("known", who)
			}
			a.limiter.mu.Lock()
			got := a.limiter.crowdedLocked(otherPlaces)
			a.limiter.mu.Unlock()
			if got != tt.want {
				t.Errorf("%+v: crowded: %t", tt, got)
			}
			for a.limiter.Waiting() > 0 {
				a.serve(1)
			}
		})
	}
}

// If dummies were dropped less often than hashes, ErrBusy would reveal that a name exists.
func TestDummiesAreDroppedAsOftenAsHashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := floodedLimiter(t, 256, 1)
		for i := range 512 { // two dummies for each place
			label := fmt.Sprint("dummy ", i)
			a.comeDummy(label, Requester{Name: label, Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})})
		}
		drain(a.in)
		for i := range 10 {
			label := fmt.Sprint("newcomer ", i)
			a.come(label, at(label, fmt.Sprintf("198.51.100.%d", i)))
		}
		lost := map[bool]int{}
		for _, label := range drain(a.in) {
			lost[strings.HasPrefix(label, "dummy")]++
		}
		if want := (map[bool]int{false: 10, true: 20}); !maps.Equal(lost, want) {
			t.Errorf("which dropped requests were dummies: %v, want %v", lost, want)
		}
		for a.limiter.Waiting() > 0 {
			a.serve(1)
		}
	})
}

// The average duration of a turn is also correct for a limiter whose Options limit slots but no
// memory.
func TestTurnIsAveragedWithoutMemory(t *testing.T) {
	l := New(Options{All: Need{Slots: 2}, Places: 10, Wait: time.Minute})
	for range 200 {
		if err := l.Enter(t.Context(), Requester{}, Need{Slots: 1}); err != nil {
			t.Fatal(err)
		}
		l.Leave(Need{Slots: 1}, time.Second)
	}
	if l.turn < 490*time.Millisecond || l.turn > 500*time.Millisecond {
		t.Errorf("with two slots, a request of one second counts as a turn of %s", l.turn)
	}
}
