package delivery_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

func TestWebhooksAreSwitchedAndRewound(t *testing.T) {
	storetest.Each(t, testWebhooksAreSwitchedAndRewound)
}

func testWebhooksAreSwitchedAndRewound(t *testing.T, d storetest.Database) {
	f := newFixture(t, d.New(t))
	root := admin.Operator("root")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f.hook.Filter.Kinds = []journal.Kind{journal.KindEvent}
	f.driver.Release(t.Context())
	f.start()
	f.push("a:1")
	f.now = f.now.Add(time.Hour)
	f.push("a:2", "b:2")
	f.round()

	check(f.d.Disable(t.Context(), root, "ci"))
	f.push("a:3")
	f.round()
	if off := f.status().Off; off != "disabled by operator:root" || len(delivery.Problems([]delivery.Status{f.status()})) > 0 {
		t.Errorf("after disable: %q", off)
	}
	check(f.d.Resend(t.Context(), root, "ci", f.now)) // also works while the webhook is off
	f.round()
	f.want(true, "a:1", "a:2", "b:2")
	check(f.d.Enable(t.Context(), root, "ci"))
	f.start() // after a crash
	f.want(true, "a:1", "a:2", "b:2", "a:2", "b:2", "a:3")
	check(f.d.Resend(t.Context(), root, "ci", f.now.Add(24*time.Hour))) // no entry is that new
	f.round()
	f.want(true, "a:1", "a:2", "b:2", "a:2", "b:2", "a:3")
	if s := f.status(); s.Behind != 0 || s.Off != "" {
		t.Errorf("the status is %+v", s)
	}
	if err := f.d.Enable(t.Context(), root, "other"); !errors.Is(err, admin.ErrNotFound) {
		t.Errorf("another webhook: %v", err)
	}
}

// After a repair of the endpoint, an operator does not want to wait for ten hours.
func TestEnableSendsWhatWaits(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	status := 500
	f.to.answer = func(string, string) int { return status }
	f.push("a:1", "b:1", "c:1")
	for wait := f.round(); len(f.to.received) < 8; wait = f.round() {
		f.now = f.now.Add(wait)
	}
	status = 200
	before := len(f.to.received)
	if f.round(); len(f.to.received) != before {
		t.Fatal("the webhook did not wait")
	}
	if err := f.d.Enable(t.Context(), admin.Operator("root"), "ci"); err != nil {
		t.Fatal(err)
	}
	f.round()
	accepted := f.to.tags(false)
	slices.Sort(accepted)
	if !slices.Equal(accepted, []string{"a:1", "b:1", "c:1", "ci:"}) { // and the change by Enable
		t.Errorf("accepted %v", accepted)
	}
}

// When one entry is accepted again, the others that wait are sent at once.
func TestASuccessSendsWhatWaits(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	status := 500
	f.to.answer = func(string, string) int { return status }
	f.push("a:1", "b:1", "c:1")
	for len(f.to.received) < 8 {
		f.now = f.now.Add(f.round())
	}
	status = 200
	for len(f.to.received) == 8 {
		f.now = f.now.Add(f.round())
	}
	if s := f.status(); s.Waiting != 0 || s.Behind != 0 || s.Failures != 0 {
		t.Errorf("the status is %+v", s)
	}
}
