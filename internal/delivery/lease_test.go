package delivery_test

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

func TestOnlyOneProcessDelivers(t *testing.T) { storetest.Each(t, testOnlyOneProcessDelivers) }

func testOnlyOneProcessDelivers(t *testing.T, d storetest.Database) {
	f := newFixture(t, d.New(t))
	behind := 5 * time.Minute // the other process has another clock
	other, err := delivery.New(f.db, f.journal, delivery.Options{
		Webhooks: []delivery.Webhook{f.hook}, Now: func() time.Time { return f.now.Add(-behind) }, Log: slog.New(slog.DiscardHandler),
		Transport: func(*delivery.Webhook) http.RoundTripper { return f.to },
	})
	if err != nil {
		t.Fatal(err)
	}
	second := delivery.NewDriver(other)
	f.push("a:1")
	f.round()
	for range 20 { // the first process renews its lease
		if second.Acquire(t.Context()) {
			t.Fatal("two processes have the lease")
		}
		f.now = f.now.Add(delivery.TakenAfter / 4)
		f.round()
	}
	// The first process hangs. The second process notices this by its own clock.
	if second.Acquire(t.Context()) {
		t.Fatal("the lease was taken too early")
	}
	f.now = f.now.Add(delivery.TakenAfter - time.Millisecond)
	if second.Acquire(t.Context()) {
		t.Fatal("the lease was taken too early")
	}
	f.now = f.now.Add(time.Millisecond)
	if !second.Acquire(t.Context()) {
		t.Fatal("the lease of a process that hangs was not taken")
	}
	f.push("a:2")
	second.Round(t.Context(), 100)
	if !second.Save(t.Context()) {
		t.Error("the state was not saved")
	}
	// The first process continues. It can deliver an entry again, but cannot change the state.
	f.push("a:3")
	f.driver.Round(t.Context(), 1)
	if f.driver.Save(t.Context()) {
		t.Error("a process without the lease saved its state")
	}
	if s := f.status(); s.Position != 2 {
		t.Errorf("the position is %d, want 2", s.Position)
	}
	second.Release(t.Context())
	if !f.driver.Acquire(t.Context()) {
		t.Error("a lease that was given up cannot be taken at once")
	}
	f.round()
	f.want(true, "a:1", "a:2", "a:2", "a:3", "a:3")
}
