// Package delivery sends the journal's entries to webhooks.
//
// A Webhook is an HTTPS endpoint of the config, with a Filter. Each entry that the filter selects
// is sent as a POST request: a CloudEvent in JSON, with the signature headers of the specification
// Standard Webhooks. The answer must have a status from 200 to 299. Redirects are not followed.
//
//	d, err := delivery.New(db, journal, delivery.Options{Webhooks: webhooks})
//	go d.Run(ctx)
//
// Each webhook has a goroutine and a position in the journal, so webhooks do not delay each other,
// and nothing delays the journal. Entries are sent at least once: after a crash, the entries of
// the last second are sent again, with the same ids. The entries of a repository are sent in
// order.
//
// An entry that was not accepted is sent again later: see retryDelay. Meanwhile, only the entries
// of the same repository wait, because the endpoint may refuse just this entry. But after two
// failures in a row, all entries of the webhook wait. After five days without success, the webhook
// is switched off. If only one entry fails for five days, it is skipped. The journal records that
// a webhook was switched off or an entry was skipped. Memory does not grow with the number of
// waiting entries, because they stay in the journal. If retention removes a waiting entry from the
// journal, the entry is never sent.
//
// The state is in the database. Several processes can share the database. Only one of them
// delivers entries: the holder of the lease.
package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/delivery/signature"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// Webhook is an endpoint that receives entries, or a file. A file has a position and retries like
// an endpoint.
type Webhook struct {
	Name    string // also the name of the state in the database
	File    *File  // nil: the endpoint has a URL
	URL     string
	CA      string          // PEM file; "": the certificate authorities of the system
	Keys    []signature.Key // each of them signs every message
	Filter  Filter
	Private bool // the endpoint may have an address that is not public
}

// Options are the settings of a Delivery. The zero value is ready to use.
type Options struct {
	Webhooks []Webhook
	Source   string           // source of the CloudEvents; "": "tidewaiter"
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: no log

	// Transport sends the requests of a webhook. nil: HTTPS to addresses that the webhook permits.
	Transport func(*Webhook) http.RoundTripper
	// Jitter returns a number from 0 to 1. A larger number makes the delay of a retry longer. nil:
	// random numbers.
	Jitter func() float64
}

// Delivery sends entries to webhooks. Its methods may be called from any goroutine.
type Delivery struct {
	o       Options
	db      *store.DB
	journal *journal.Journal
	workers []*worker // in the order of Options.Webhooks
	// reading limits how many workers read the journal at once, because each reader needs the
	// memory of a block.
	reading chan struct{}
}

// maxReaders is the number of workers that read the journal at once.
const maxReaders = 2

// New returns a Delivery. The error is about a file that a webhook names. New starts no goroutine.
func New(db *store.DB, j *journal.Journal, o Options) (*Delivery, error) {
	o.Now = clock.Wall(o.Now)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Source == "" {
		o.Source = "tidewaiter"
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	d := &Delivery{o: o, db: db, journal: j, reading: make(chan struct{}, maxReaders)}
	for i := range o.Webhooks {
		w, err := newWorker(d, &o.Webhooks[i])
		if err != nil {
			return nil, err
		}
		d.workers = append(d.workers, w)
	}
	return d, nil
}

// Run delivers entries until ctx ends. While another process has the lease, Run only waits.
// Errors of the database are logged and retried.
func (d *Delivery) Run(ctx context.Context) {
	if len(d.workers) == 0 {
		return
	}
	l := newLease(d)
	for ctx.Err() == nil {
		if l.acquire(ctx) {
			for _, w := range d.workers {
				w.forget()
			}
			d.deliver(ctx, l)
		}
		_ = clock.Sleep(ctx, lookEvery)
	}
}

// deliver delivers entries until ctx ends or the lease is lost. Then it releases the lease.
func (d *Delivery) deliver(ctx context.Context, l *lease) {
	working, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, w := range d.workers {
		running.Go(func() { w.run(working) })
	}
	for d.maintain(working, l) {
		_ = clock.Sleep(working, lookEvery)
	}
	end()
	running.Wait()
	l.release(ctx)
}
