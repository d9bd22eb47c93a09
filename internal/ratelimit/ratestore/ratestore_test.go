package ratestore_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/ratelimit/ratestore"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	storetest.Stop()
	os.Exit(code)
}

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// limits are the limits of names.
var limits = ratelimit.LevelLimits{Drain: 864_000, Full: 99 * 864_000, Slow: 60_000}

// replica opens a database again, like another process.
func replica(t *testing.T, url string) (*ratestore.Store, *store.DB) {
	t.Helper()
	db, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return ratestore.New(func() *store.DB { return db }), db
}

func place(name, address string) ratelimit.Place {
	return ratelimit.Place{Name: name, Prefix: ratelimit.PlaceOf(netip.MustParseAddr(address))}
}

func learned(name, address string) ratelimit.Learned {
	return ratelimit.Learned{Place: place(name, address), Source: "accounts", ID: "id of " + name}
}

func TestPlacesAreSharedBoundedAndForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		one, db := replica(t, url)
		two, _ := replica(t, url)
		ctx := t.Context()
		known := func(s *ratestore.Store, p ratelimit.Place, at time.Time) bool {
			t.Helper()
			k, err := s.KnownPlace(ctx, p, at)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		add := func(at time.Time, list ...ratelimit.Learned) {
			t.Helper()
			if err := one.AddPlaces(ctx, list, at); err != nil {
				t.Fatal(err)
			}
		}
		if known(two, place("ann", "198.51.100.7"), start) {
			t.Error("a place is known before the first sign-in")
		}
		add(start, learned("ann", "198.51.100.7"), learned("ann", "2001:db8:1:2::3"), learned("bob", "198.51.100.7"))
		for _, tt := range []struct {
			name, address string
			want          bool
		}{
			{"ann", "198.51.100.7", true},
			{"ann", "198.51.100.200", true}, // the same /24
			{"ann", "198.51.101.7", false},
			{"ann", "2001:db8:1:ffff::1", true}, // the same /48
			{"ann", "2001:db8:2::1", false},
			{"ann", "::ffff:198.51.100.9", true}, // the same address in another form
			{"bob", "2001:db8:1:2::3", false},
			{"carol", "198.51.100.7", false},
		} {
			if got := known(two, place(tt.name, tt.address), start); got != tt.want {
				t.Errorf("whether another replica knows the place of %s at %s: %v", tt.name, tt.address, got)
			}
		}
		if !known(two, place("ann", "198.51.100.7"), start.Add(89*24*time.Hour)) || known(two, place("ann", "198.51.100.7"), start.Add(92*24*time.Hour)) {
			t.Error("a place was not known for exactly 90 days")
		}

		// Only the newest MaxPlaces places of a principal are kept.
		for n := range 20 {
			add(start.AddDate(0, 0, n+1), learned("ann", fmt.Sprintf("10.0.%d.1", n)))
		}
		late := start.AddDate(0, 0, 21)
		if known(one, place("ann", "198.51.100.7"), late) || known(one, place("ann", "10.0.3.1"), late) || !known(one, place("ann", "10.0.4.1"), late) {
			t.Error("want the newest sixteen of twenty-two places")
		}
		if !known(one, place("bob", "198.51.100.7"), late) {
			t.Error("the place of another user is gone")
		}

		// Deleting a principal deletes its places.
		if err := db.Write(ctx, "", func(tx *sql.Tx) error { return ratestore.DeletePlaces(ctx, tx, "accounts", "id of ann") }); err != nil {
			t.Fatal(err)
		}
		if known(two, place("ann", "10.0.19.1"), late) || !known(two, place("bob", "198.51.100.7"), late) {
			t.Error("deleting ann did not delete exactly the places of ann")
		}
		if err := one.Sweep(ctx, start.AddDate(1, 0, 0)); err != nil {
			t.Fatal(err)
		}
		var left int
		if err := db.Read().QueryRow("SELECT count(*) FROM limit_places").Scan(&left); err != nil || left != 0 {
			t.Errorf("a year later, %d places are left: %v", left, err)
		}
	})
}

// The rows reveal neither names nor addresses.
func TestRowsRevealNothing(t *testing.T) {
	s, db := replica(t, storetest.SQLite().Ready(t))
	ctx := t.Context()
	if err := s.AddPlaces(ctx, []ratelimit.Learned{learned("ann", "198.51.100.7")}, start); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ChargeName(ctx, "ann", 26, start, limits); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Claim(ctx, "ann", 2, start, start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"SELECT place FROM limit_places", "SELECT owner FROM limit_places", "SELECT name FROM limit_names", "SELECT account FROM limit_attempts"} {
		var b []byte
		if err := db.Read().QueryRow(query).Scan(&b); err != nil || len(b) != 16 || bytes.Contains(b, []byte("ann")) {
			t.Errorf("%s: %q, %v", query, b, err)
		}
	}
}

// The SQL of the store and the arithmetic of the limiter compute the same limit. Replicas that
// charge a name at the same time share one limit.
func TestANameIsCountedOverAllReplicas(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		one, _ := replica(t, url)
		two, _ := replica(t, url)
		ctx := t.Context()
		var all sync.WaitGroup
		var mu sync.Mutex
		allowed := 0
		for _, s := range []*ratestore.Store{one, two} {
			for range 2 {
				all.Go(func() {
					for range 40 {
						_, wait, err := s.ChargeName(context.Background(), "ann", 1, start, limits)
						if err != nil {
							t.Error(err)
						}
						if wait == 0 {
							mu.Lock()
							allowed++
							mu.Unlock()
						}
					}
				})
			}
		}
		all.Wait()
		if allowed != 100 {
			t.Errorf("%d of 160 concurrent attempts were allowed, want 100", allowed)
		}
		level, wait, err := two.ChargeName(ctx, "ann", 1, start.Add(30*time.Second), limits)
		if err != nil || wait != 30*time.Second || level.Wait(start.Add(30*time.Second).UnixMilli(), limits) != wait {
			t.Errorf("half a minute later: wait %s, %v; want 30s", wait, err)
		}
		if _, wait, _ := two.ChargeName(ctx, "ann", 1, start.Add(61*time.Second), limits); wait != 0 {
			t.Errorf("a minute later: wait %s, want 0", wait)
		}
		if _, wait, _ := one.ChargeName(ctx, "ann", 1, start.Add(62*time.Second), limits); wait <= 0 || wait > time.Minute {
			t.Errorf("the next attempt, a second later: wait %s, want up to a minute", wait)
		}
		never := limits
		never.Slow = 0
		if _, wait, _ := one.ChargeName(ctx, "ann", 1, start.Add(5*time.Minute), never); wait <= 0 {
			t.Error("an attempt was allowed although unknown places are refused")
		}
		levels, err := one.Levels(ctx, start.Add(2*time.Minute))
		if err != nil || levels("ann").Wait(start.Add(62*time.Second).UnixMilli(), limits) <= 0 || levels("bob") != (ratelimit.Level{}) {
			t.Errorf("the other replica has read the level %+v, %v", levels("ann"), err)
		}
		if _, _, err := two.ChargeName(ctx, "bob", 26, start.Add(2*time.Minute), limits); err != nil {
			t.Fatal(err)
		}
		if levels, err = one.Levels(ctx, start.Add(2*time.Minute)); err != nil || levels("bob").Empty == 0 || levels("ann").Empty == 0 {
			t.Errorf("the second read returned the level %+v, %v", levels("bob"), err)
		}
		if err := one.RefundName(ctx, "bob", limits); err != nil {
			t.Error(err)
		}
		if err := one.Sweep(ctx, start.AddDate(0, 0, 3)); err != nil {
			t.Error(err)
		}
		if levels, err = two.Levels(ctx, start.AddDate(0, 0, 3)); err != nil || levels("ann") != (ratelimit.Level{}) {
			t.Errorf("three days later, the level is %+v, %v", levels("ann"), err)
		}
	})
}

func TestSlotsOfADirectoryAreTakenOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		url := d.Ready(t)
		one, _ := replica(t, url)
		two, _ := replica(t, url)
		ctx := t.Context()
		until := start.Add(30 * time.Minute)
		var all sync.WaitGroup
		var mu sync.Mutex
		taken := make(map[int]int)
		for _, s := range []*ratestore.Store{one, two, one, two} {
			all.Go(func() {
				for range 10 {
					slot, wait, err := s.Claim(context.Background(), "ann", 2, start, until)
					if err != nil {
						t.Error(err)
					}
					if wait == 0 {
						mu.Lock()
						taken[slot]++
						mu.Unlock()
					}
				}
			})
		}
		all.Wait()
		if len(taken) != 2 || taken[0] != 1 || taken[1] != 1 {
			t.Errorf("how often each slot was taken: %v, want one time", taken)
		}
		if _, wait, _ := one.Claim(ctx, "ann", 2, start.Add(10*time.Minute), until); wait != 20*time.Minute {
			t.Errorf("wait %s, want the rest of the window", wait)
		}
		for _, tt := range []struct {
			at       time.Time
			accounts []string
			want     bool
		}{{start, []string{"bob", "ann"}, true}, {start, []string{"bob", "carol"}, false}, {until, []string{"bob", "ann"}, false}} {
			if taken, err := two.Claimed(ctx, tt.at, tt.accounts...); err != nil || taken != tt.want {
				t.Errorf("slots of %v at %s: %v, %v", tt.accounts, tt.at, taken, err)
			}
		}
		if err := one.ReleaseSlot(ctx, "ann", 1, until); err != nil {
			t.Fatal(err)
		}
		if slot, wait, _ := two.Claim(ctx, "ann", 2, start, until); slot != 1 || wait != 0 {
			t.Errorf("after slot 1 was freed: slot %d, wait %s", slot, wait)
		}
		if err := two.Release(ctx, "ann"); err != nil {
			t.Fatal(err)
		}
		if slot, wait, _ := one.Claim(ctx, "ann", 2, start, until); slot != 0 || wait != 0 {
			t.Errorf("after all slots were freed: slot %d, wait %s", slot, wait)
		}
		if slot, wait, _ := one.Claim(ctx, "ann", 2, until, until.Add(time.Hour)); slot != 0 || wait != 0 {
			t.Errorf("after the window: slot %d, wait %s", slot, wait)
		}
	})
}

// A flood of names must not fill the disk until the next sweep. The counts of attacked names and
// the records of sign-ins must survive the flood.
func TestAFloodOfNamesFillsNoTable(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		s, db := replica(t, d.Ready(t))
		s.Bound(40, 60, 10)
		ctx := t.Context()
		claim := func(account string, slots int, until time.Time) {
			t.Helper()
			if _, _, err := s.Claim(ctx, account, slots, start, until); err != nil {
				t.Fatal(err)
			}
		}
		soon := start.Add(30 * time.Minute)
		claim("note of ann", 1, start.Add(ratelimit.PlaceFor))
		for range 2 {
			claim("ann", 2, soon)
			if _, _, err := s.ChargeName(ctx, "ann", 26, start, limits); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 200 {
			name := fmt.Sprint("name ", i)
			claim(name, 2, soon.Add(time.Duration(i)))
			if _, _, err := s.ChargeName(ctx, name, 26, start, limits); err != nil {
				t.Fatal(err)
			}
		}
		for table, most := range map[string]int{"limit_names": 40 + 10, "limit_attempts": 60 + 10 + 1} {
			var rows int
			if err := db.Read().QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&rows); err != nil || rows > most || rows < most/2 {
				t.Errorf("%s has %d rows, %v; want at most %d", table, rows, err, most)
			}
		}
		if _, wait, err := s.Claim(ctx, "ann", 2, start, soon); err != nil || wait == 0 {
			t.Errorf("an account got a slot although all its slots are taken (%v)", err)
		}
		if noted, err := s.Claimed(ctx, start, "note of ann"); err != nil || !noted {
			t.Errorf("the record of a sign-in is gone (%v)", err)
		}
		levels, err := s.Levels(ctx, start)
		if err != nil || levels("ann") == (ratelimit.Level{}) {
			t.Errorf("the count of an attacked name is gone (%v)", err)
		}
	})
}

// Before the database is open, all methods return an error.
func TestWithoutADatabaseThereIsAnError(t *testing.T) {
	s := ratestore.New(func() *store.DB { return nil })
	if _, err := s.KnownPlace(t.Context(), place("ann", "192.0.2.1"), start); err == nil {
		t.Error("a place")
	}
	if _, _, err := s.Claim(t.Context(), "ann", 1, start, start); err == nil {
		t.Error("a slot")
	}
}

// The record of a sign-in is claimed with a time far in the future. If this write also trims the
// tables, the counts of other accounts must not expire.
func TestRecordsOfSignInsExpireNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		s, db := replica(t, d.Ready(t))
		s.Bound(100, 100, 1)
		ctx, now := t.Context(), time.Now()
		if _, _, err := s.ChargeName(ctx, "ann", 26, now, limits); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Claim(ctx, "ann", 2, now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Claim(ctx, "bob signed in", 1, now.Add(ratelimit.PlaceFor-24*time.Hour), now.Add(ratelimit.PlaceFor)); err != nil {
			t.Fatal(err)
		}
		for table, want := range map[string]int{"limit_names": 1, "limit_attempts": 2} {
			var rows int
			if err := db.Read().QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&rows); err != nil || rows != want {
				t.Errorf("%s has %d rows, %v; want %d", table, rows, err, want)
			}
		}
	})
}
