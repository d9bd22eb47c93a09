package password

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// enter puts one who needs n into the lane, and his name into in when he gets there.
func enter(ctx context.Context, l *lane, n need, name string, in chan<- string) {
	go func() {
		if err := l.enter(ctx, Asker{}, n); err != nil {
			in <- name + ": " + err.Error()
			return
		}
		in <- name
	}()
	synctest.Wait()
}

func TestTheLaneServesWhoComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(need{threads: 2, memory: 100}, 10, time.Minute)
		in := make(chan string, 10)
		small, big := need{threads: 1, memory: 40}, need{threads: 1, memory: 1000} // big: cut to all of it
		enter(t.Context(), l, small, "first", in)
		enter(t.Context(), l, big, "big", in)
		enter(t.Context(), l, small, "small", in) // there is room, but it was not first
		if got, want := drain(in), []string{"first"}; !cmp.Equal(got, want) {
			t.Errorf("in the lane: %q, want %q", got, want)
		}
		l.leave(small)
		synctest.Wait()
		if got, want := drain(in), []string{"big"}; !cmp.Equal(got, want) {
			t.Errorf("then: %q, want %q", got, want)
		}
		l.leave(big)
		synctest.Wait()
		if got, want := drain(in), []string{"small"}; !cmp.Equal(got, want) {
			t.Errorf("then: %q, want %q", got, want)
		}
		l.leave(small)
		if l.free != l.all {
			t.Errorf("free at the end: %+v, want %+v", l.free, l.all)
		}
	})
}

func TestTheLaneLetsInWhomABigOneHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(need{threads: 2, memory: 100}, 10, time.Minute)
		in := make(chan string, 10)
		small, big := need{threads: 1, memory: 40}, need{threads: 2, memory: 100}
		enter(t.Context(), l, small, "first", in)
		ctx, leave := context.WithCancel(t.Context())
		enter(ctx, l, big, "big", in)
		enter(t.Context(), l, small, "small", in)
		leave()
		synctest.Wait()
		got := drain(in)
		slices.Sort(got[min(1, len(got)):]) // both went on at the same moment
		if want := []string{"first", "big: context canceled", "small"}; !cmp.Equal(got, want) {
			t.Errorf("in the lane: %q, want %q", got, want)
		}
	})
}

// docker_auth: bad passwords slowed everybody.
func TestAFloodWaitsForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(need{threads: 1, memory: 100}, 16, time.Minute)
		in := make(chan string, 100)
		one := need{threads: 1}
		come := func(name, from string) {
			who := Asker{Name: name, Address: netip.MustParseAddr(from)}
			go func() {
				if err := l.enter(t.Context(), who, one); err != nil {
					in <- name + ": " + err.Error()
					return
				}
				in <- name
			}()
			synctest.Wait()
		}
		come("in the lane", "192.0.2.1")
		for i := range 16 { // from one party: nobody has less than a /64
			come(fmt.Sprint("flood ", i), fmt.Sprintf("2001:db8::%x", i+1))
		}
		if got, want := drain(in), []string{"in the lane"}; !cmp.Equal(got, want) {
			t.Fatalf("at first: %q, want %q", got, want)
		}
		come("flood 16", "2001:db8::1") // it pushes nobody out: its own line is the longest
		come("ann", "192.0.2.7")
		come("bob", "192.0.2.8")
		want := []string{
			"flood 16: " + ErrBusy.Error(), "flood 15: " + ErrBusy.Error(), "flood 14: " + ErrBusy.Error(),
			"flood 0", "ann", "bob", "flood 1", // in turns
		}
		for range 4 {
			l.leave(one)
			synctest.Wait()
		}
		if got := drain(in); !cmp.Equal(got, want) {
			t.Errorf("then: %q, want %q", got, want)
		}
		for range 14 {
			l.leave(one)
			synctest.Wait()
		}
	})
}

func TestOneNameHasAPartOfTheQueue(t *testing.T) {
	l := newLane(need{threads: 1}, 32, time.Minute)
	for i := range 5 {
		who := Asker{Name: "ann", Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}
		if got, want := l.joinLocked(who, need{threads: 1}) != nil, i < 4; got != want {
			t.Errorf("place %d of one name among 32: %t, want %t", i, got, want)
		}
	}
}

// Who is let in at the very moment in which he gives up must not keep his place for ever.
func TestAPlaceThatComesTooLateIsGivenBack(t *testing.T) {
	l := newLane(need{threads: 1, memory: 100}, 10, time.Minute)
	n := need{threads: 1, memory: 40}
	if err := l.enter(t.Context(), Asker{}, n); err != nil {
		t.Fatal(err)
	}
	late := l.joinLocked(Asker{}, n)
	l.leave(n) // lets the late one in
	if err := l.giveUp(late, ErrBusy); !errors.Is(err, ErrBusy) || l.free != l.all {
		t.Errorf("giving up: %v, and %+v of %+v is free", err, l.free, l.all)
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

// Whatever comes, waits, gives up and leaves: there is never more in the lane than it holds, never more
// in the queue than it bears, and in the end all of it is free.
func TestTheLaneKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		askers := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Asker {
			return Asker{
				Name:    rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(rt, "name"),
				Address: rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}).Draw(rt, "address"),
			}
		}), 40, 40).Draw(rt, "askers")
		all := need{threads: rapid.IntRange(1, 4).Draw(rt, "threads"), memory: rapid.Int64Range(1, 100).Draw(rt, "memory")}
		limit := rapid.IntRange(1, 5).Draw(rt, "limit")
		ops := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 40).Draw(rt, "ops")
		needs := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) need {
			return need{threads: rapid.IntRange(1, 6).Draw(rt, "t"), memory: rapid.Int64Range(0, 150).Draw(rt, "m")}
		}), 40, 40).Draw(rt, "needs")
		synctest.Test(t, func(*testing.T) {
			l := newLane(all, limit, time.Minute)
			type guest struct {
				needs  need
				leave  context.CancelFunc
				inside bool
				gone   bool
			}
			var guests []*guest
			for i, op := range ops {
				switch op {
				case 0, 1: // comes
					ctx, cancel := context.WithCancel(context.Background())
					g := &guest{needs: needs[i], leave: cancel}
					guests = append(guests, g)
					go func() {
						err := l.enter(ctx, askers[i], g.needs)
						g.inside, g.gone = err == nil, err != nil
						if err != nil && !errors.Is(err, ErrBusy) && !errors.Is(err, context.Canceled) {
							rt.Errorf("entering: %v", err)
						}
					}()
				case 2: // leaves the lane
					for _, g := range guests {
						if g.inside {
							g.inside, g.gone = false, true
							l.leave(g.needs)
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
				taken := need{}
				for _, g := range guests {
					if g.inside {
						taken.threads += l.fit(g.needs).threads
						taken.memory += l.fit(g.needs).memory
					}
				}
				if want := (need{all.threads - taken.threads, all.memory - taken.memory}); l.free != want || want.threads < 0 || want.memory < 0 {
					rt.Errorf("free: %+v, want %+v", l.free, want)
				}
				if n := l.waiting(); n > limit {
					rt.Errorf("%d wait, the limit is %d", n, limit)
				}
			}
			for range guests { // each round lets the next in
				for _, g := range guests {
					if g.inside {
						g.inside, g.gone = false, true
						l.leave(g.needs)
						synctest.Wait() // somebody else gets in
					}
				}
			}
			for _, g := range guests {
				if !g.gone {
					rt.Errorf("somebody who needs %+v never got in", g.needs)
				}
				g.leave()
			}
			if len(l.lines)+l.turns.Len()+len(l.names) != 0 {
				rt.Errorf("at the end there are %d lines, %d turns and %d names", len(l.lines), l.turns.Len(), len(l.names))
			}
			if l.free != l.all || l.waiting() != 0 {
				rt.Errorf("at the end %+v of %+v is free, and %d wait", l.free, l.all, l.waiting())
			}
		})
	})
}
