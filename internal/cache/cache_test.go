package cache_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tidewaiter/tidewaiter/internal/cache"
	"github.com/tidewaiter/tidewaiter/internal/clock"
)

var start = time.Unix(1_800_000_000, 0)

func TestValueIsHeldWhileItsSpanHolds(t *testing.T) {
	now := start
	c := cache.New[string, int](10, func() time.Time { return now })
	c.Put("a", 1, time.Minute)
	for _, tt := range []struct {
		after time.Duration
		held  bool
	}{{0, true}, {59 * time.Second, true}, {time.Minute, false}, {-time.Second, false}} {
		now = start.Add(tt.after)
		if v, ok := c.Get("a"); ok != tt.held || ok && v != 1 {
			t.Errorf("after %v: %d, %t", tt.after, v, ok)
		}
	}
	now = start
	c.Put("a", 2, time.Minute)
	if v, ok := c.Get("a"); !ok || v != 2 || c.Len() != 1 {
		t.Errorf("after Put replaced the value: %d, %t; %d values", v, ok, c.Len())
	}
	if v, ok := c.Get("b"); ok || v != 0 {
		t.Errorf("a key without a value: %d, %t", v, ok)
	}
	c.Remove("a")
	if _, ok := c.Get("a"); ok {
		t.Error("the value is still there after Remove")
	}
	c.Put("a", 3, time.Minute)
	c.Put("a", 4, 0)
	if _, ok := c.Get("a"); ok {
		t.Error("the value is still there after Put with the duration 0")
	}
	c.Put("a", 5, time.Minute)
	c.Clear()
	if _, ok := c.Get("a"); ok || c.Len() != 0 {
		t.Error("the value is still there after Clear")
	}
}

// In Harbor, a map with keys from attackers never shrank.
func TestFloodOfKeysIsBoundedAndEvictsNothingInUse(t *testing.T) {
	c := cache.New[int, int](1000, func() time.Time { return start })
	c.Put(-1, 1, time.Hour)
	for i := range 1_000_000 {
		c.Put(i, i, time.Hour)
		if n := c.Len(); n > 1000 {
			t.Fatalf("the cache has %d values, want at most 1000", n)
		}
		if _, ok := c.Get(-1); i%400 == 0 && !ok {
			t.Fatalf("the value in use was evicted after %d other values", i)
		}
	}
}

// After any sequence of calls, Get returns the last value of a key. It finds at least the limit/2
// keys that were used last. Put uses a key, and so does Get if it finds the key.
func TestPropertyCacheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 8
		now := start
		c := cache.New[int, int](limit, func() time.Time { return now })
		type kept struct {
			value int
			until time.Time
		}
		model, recent := map[int]kept{}, []int{} // recent: keys in the order of their use
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := rapid.IntRange(0, 12).Draw(t, "key")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(1, 5).Draw(t, "seconds")) * time.Second)
			case 1:
				c.Remove(key)
				delete(model, key)
			case 2, 3, 4, 5:
				length := time.Duration(rapid.IntRange(1, 10).Draw(t, "length")) * time.Second
				c.Put(key, step, length)
				model[key] = kept{step, now.Add(length)}
				recent = append(recent, key)
			default:
				want, there := model[key]
				there = there && now.Before(want.until)
				got, found := c.Get(key)
				if found && (!there || got != want.value) {
					t.Fatalf("key %d: found %d, which is expired or was never put", key, got)
				}
				different := map[int]bool{}
				for i := len(recent) - 1; i >= 0 && recent[i] != key; i-- {
					different[recent[i]] = true
				}
				if !found && there && len(different) < limit/2 {
					t.Fatalf("key %d is not found, although only %d other keys were used after it", key, len(different))
				}
				if found {
					recent = append(recent, key)
				}
			}
			if c.Len() > limit {
				t.Fatalf("%d values", c.Len())
			}
		}
	})
}

// Each text is preceded by its length, so moving bytes from one text to the next changes the
// key.
func TestPropertyKeysCoverTheWholeList(t *testing.T) {
	k, other := cache.NewKeys(), cache.NewKeys()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		i := rapid.IntRange(0, len(text)).Draw(t, "i")
		j := rapid.IntRange(0, len(text)).Draw(t, "j")
		one, two := k.Of(0, text[:i], text[i:]), k.Of(0, text[:j], text[j:])
		if (one == two) != (i == j) {
			t.Errorf("%q and %q, %q and %q: equal keys: %t", text[:i], text[i:], text[:j], text[j:], one == two)
		}
		if one == k.Of(1, text[:i], text[i:]) || one == k.Of(0, text) || one == k.Of(0, text[:i], text[i:], "") {
			t.Error("keys of another kind or another list are equal")
		}
		if one == other.Of(0, text[:i], text[i:]) {
			t.Error("another process computes the same key")
		}
	})
}

func TestHitAllocatesNothing(t *testing.T) {
	k, c := cache.NewKeys(), cache.New[cache.Key, *int](10, clock.Now)
	name, secret := "ann", strings.Repeat("x", 1000)
	c.Put(k.Of(1, name, secret), new(int), time.Hour)
	if n := testing.AllocsPerRun(100, func() { c.Get(k.Of(1, name, secret)) }); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

func TestCallersShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls cache.Calls[string, int]
		type named struct{}
		made, release := 0, make(chan struct{})
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				ctx := context.WithValue(t.Context(), named{}, "ann")
				v, err := calls.Do(ctx, "a", func(ctx context.Context) (int, error) {
					made++
					<-release
					if ctx.Value(named{}) != "ann" {
						t.Error("the context does not have the caller's values")
					}
					return 42, errors.ErrUnsupported
				})
				if v != 42 || !errors.Is(err, errors.ErrUnsupported) {
					t.Errorf("%d, %v", v, err)
				}
			})
		}
		synctest.Wait()
		if n, callers := calls.Count(); n != 1 || callers != 10 {
			t.Errorf("%d calls for %d callers, want 1 call", n, callers)
		}
		close(release)
		all.Wait()
		if n, _ := calls.Count(); made != 1 || calls.Shared() != 9 || n != 0 {
			t.Errorf("%d calls, %d shared, %d still in flight", made, calls.Shared(), n)
		}
	})
}

// A caller that leaves does not affect the other callers. When all callers have left, the call is
// canceled. The next caller begins a new call. The end of the first call does not affect this new
// call.
func TestCallEndsWithItsLastCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls cache.Calls[string, int]
		ended := make(chan error, 2)
		slow := func(ctx context.Context) (int, error) {
			<-ctx.Done()
			time.Sleep(time.Minute) // the call ends a minute after it was canceled
			ended <- ctx.Err()
			return 1, ctx.Err()
		}
		leave := make([]context.CancelFunc, 2)
		left := make(chan error, 2)
		for i := range leave {
			var ctx context.Context
			ctx, leave[i] = context.WithCancel(t.Context())
			go func() {
				_, err := calls.Do(ctx, "a", slow)
				left <- err
			}()
			synctest.Wait()
		}
		leave[0]()
		synctest.Wait()
		if n, callers := calls.Count(); n != 1 || callers != 1 || !errors.Is(<-left, context.Canceled) {
			t.Errorf("after one caller has left: %d calls for %d callers", n, callers)
		}
		leave[1]()
		synctest.Wait()
		if n, _ := calls.Count(); n != 0 || !errors.Is(<-left, context.Canceled) {
			t.Errorf("after all callers have left: %d calls", n)
		}
		release := make(chan struct{})
		next := make(chan int)
		go func() {
			v, _ := calls.Do(t.Context(), "a", func(context.Context) (int, error) { <-release; return 2, nil })
			next <- v
		}()
		if !errors.Is(<-ended, context.Canceled) {
			t.Error("the call was not cancelled")
		}
		synctest.Wait()
		if n, _ := calls.Count(); n != 1 {
			t.Error("the end of the first call removed the second call")
		}
		close(release)
		if v := <-next; v != 2 {
			t.Errorf("the next caller got %d", v)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := calls.Do(gone, "a", slow); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller whose context had ended before: %v", err)
		}
	})
}

// The timeout ends the shared call and not only the wait of one caller. So all callers get the
// error of the call.
func TestCallEndsAfterItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := cache.Calls[string, int]{Timeout: time.Minute}
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				_, err := calls.Do(t.Context(), "a", func(ctx context.Context) (int, error) {
					<-ctx.Done()
					return 0, ctx.Err()
				})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("after the timeout: %v", err)
				}
			})
		}
		all.Wait()
		if n, _ := calls.Count(); n != 0 {
			t.Errorf("%d calls are in flight", n)
		}
	})
}

// Only the callers that waited for a call get its error. The next caller begins a new call.
func TestFailureIsNotKept(t *testing.T) {
	var calls cache.Calls[string, int]
	for i := range 3 {
		v, err := calls.Do(t.Context(), "a", func(context.Context) (int, error) {
			if i < 2 {
				return 0, errors.ErrUnsupported
			}
			return i, nil
		})
		if v != i && i == 2 || (err == nil) != (i == 2) {
			t.Errorf("call %d: %d, %v", i, v, err)
		}
	}
}
