// Package drive is a load generator for token endpoints. It measures throughput and latency.
//
// It keeps a number of connections busy, each with one request at a time (a closed loop), and
// counts the answers. It shares the machine with the measured server. So for each request, it only
// writes prepared bytes, reads and counts, without net/http and without allocation.
//
// It is for loopback only: NewTarget rejects every other address, so that it cannot be used
// against other machines.
package drive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Options are the settings of a run.
type Options struct {
	Connections int           // concurrent requests; default 16
	Duration    time.Duration // the measured time; required unless Requests is set
	Settle      time.Duration // load before the measured time
	// Rest is a pause before Settle, so that remaining work of the previous target does not slow
	// down the next target.
	Rest     time.Duration
	Requests int64 // stop after this many requests, or longestBounded; 0: Duration decides
}

// Result is the result of one run. Requests counts the requests that got a complete answer in
// the measured time.
type Result struct {
	Requests  int64
	Elapsed   time.Duration
	Status    map[int]int64
	Errors    map[string]int64 // by error
	BytesIn   int64
	BytesOut  int64
	Reconnect int64 // connections that the server closed after an answer

	// CPU is the processor time of the target's process in the measured time, if the process is
	// known.
	CPU time.Duration

	latencies *hdrhistogram.Histogram // nil: no request
}

// Rate returns requests per second.
func (r *Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Requests) / r.Elapsed.Seconds()
}

// Cost returns the processor time of the target's process per answer, or 0 if it is unknown.
func (r *Result) Cost() time.Duration {
	if r.Requests == 0 {
		return 0
	}
	return r.CPU / time.Duration(r.Requests)
}

// Failed counts errors and answers without a 2xx status.
func (r *Result) Failed() int64 {
	var n int64
	for status, count := range r.Status {
		if status < 200 || status > 299 {
			n += count
		}
	}
	for _, count := range r.Errors {
		n += count
	}
	return n
}

// Add adds the result of another run. The sum is like the result of one longer run.
func (r *Result) Add(other *Result) {
	r.Requests += other.Requests
	r.Elapsed += other.Elapsed
	if other.latencies != nil {
		if r.latencies == nil {
			r.latencies = newLatencies()
		}
		r.latencies.Merge(other.latencies)
	}
	r.BytesIn += other.BytesIn
	r.BytesOut += other.BytesOut
	r.Reconnect += other.Reconnect
	r.CPU += other.CPU
	r.Status = sum(r.Status, other.Status)
	r.Errors = sum(r.Errors, other.Errors)
}

func sum[K comparable](into, from map[K]int64) map[K]int64 {
	if into == nil {
		return maps.Clone(from)
	}
	for k, n := range from {
		into[k] += n
	}
	return into
}

// patience is how long a run waits for the last answers after its end. A connection that gets
// no answer in this time counts as an error.
const patience = 10 * time.Second

// longestBounded is the maximum duration of a run with a number of requests. It ends the run if
// the server does not answer.
const longestBounded = 10 * time.Minute

// Run puts the target under load. It fails if the options are invalid or ctx ends. Errors of
// connections and answers do not make Run fail: the Result counts them.
func Run(ctx context.Context, t *Target, o Options) (*Result, error) {
	if o.Connections == 0 {
		o.Connections = 16
	}
	switch {
	case o.Connections < 1 || o.Connections > 1024:
		return nil, fmt.Errorf("%d connections: must be 1 to 1024", o.Connections)
	case o.Duration <= 0 && o.Requests <= 0:
		return nil, errors.New("neither a duration nor a number of requests")
	case o.Settle < 0 || o.Rest < 0 || o.Requests < 0:
		return nil, errors.New("a negative duration or number of requests")
	}

	if o.Rest > 0 && !pause(ctx, o.Rest) {
		return nil, ctx.Err()
	}
	w := window{from: time.Now().Add(o.Settle)}
	if o.Requests > 0 {
		w.from = time.Now()
		w.bounded = true
		w.left.Store(o.Requests)
		w.until = w.from.Add(longestBounded)
	} else {
		w.until = w.from.Add(o.Duration)
	}

	workers := make([]*worker, o.Connections)
	var running sync.WaitGroup
	for i := range workers {
		workers[i] = newWorker(t, &w, i)
		running.Go(func() { workers[i].run(ctx) })
	}
	used, unknown := t.usage(ctx, &w, &running)
	if err := errors.Join(ctx.Err(), unknown); err != nil {
		return nil, err
	}

	all := &Result{Elapsed: o.Duration, CPU: used}
	if w.bounded {
		all.Elapsed = time.Since(w.from)
	}
	for _, worker := range workers {
		one := worker.result
		one.Elapsed = 0
		all.Add(&one)
	}
	return all, nil
}

// window ends a run after a time or after a number of requests. All workers share it.
type window struct {
	from, until time.Time
	bounded     bool
	left        atomic.Int64
}

// takeRequest reports whether one more request may be sent.
func (w *window) takeRequest() bool {
	return !w.bounded || w.left.Add(-1) >= 0
}
