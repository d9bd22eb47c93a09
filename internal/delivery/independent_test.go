package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/notification"
)

// endpoint is a function that answers requests.
type endpoint func(*http.Request) (*http.Response, error)

func (e endpoint) RoundTrip(r *http.Request) (*http.Response, error) { return e(r) }

// In the bubble of synctest, the time passes only when all goroutines wait.
func TestThreatDeadAndSlowEndpointsDoNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), "sqlite::memory:")
		if err != nil {
			t.Fatal(err)
		}
		j, err := journal.New(db, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		const live = 50
		var hooks []delivery.Webhook
		for i := range 100 {
			hooks = append(hooks, delivery.Webhook{Name: fmt.Sprintf("h%d", i)})
		}
		var arrived []time.Duration
		var sent atomic.Int64
		d, err := delivery.New(db, j, delivery.Options{Webhooks: hooks, Transport: func(w *delivery.Webhook) http.RoundTripper {
			return endpoint(func(r *http.Request) (*http.Response, error) {
				switch {
				case w.Name == hooks[live].Name:
					arrived = append(arrived, time.Since(time.Unix(0, sent.Load())))
				case w.Name < hooks[live].Name: // no answer
					<-r.Context().Done()
					return nil, r.Context().Err()
				default: // just in time
					time.Sleep(14 * time.Second)
				}
				return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { d.Run(ctx); close(ended) }()
		time.Sleep(time.Second)
		const entries = 20
		for i := range entries {
			sent.Store(time.Now().UnixNano())
			e := notification.Event{ID: fmt.Sprint(i), Time: time.Now(), Action: "push", Repository: "team/app"}
			if err := j.Append(t.Context(), journal.Entry{Event: &e}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
		}
		end()
		<-ended
		if err := errors.Join(j.Close(context.Background()), db.Close()); err != nil {
			t.Error(err)
		}
		if len(arrived) != entries {
			t.Errorf("%d of %d entries arrived", len(arrived), entries)
		}
		for i, delay := range arrived {
			if delay > time.Second {
				t.Errorf("entry %d arrived after %s", i, delay)
			}
		}
	})
}
