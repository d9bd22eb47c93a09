// Package drive answers: how many requests a second does a token endpoint serve, and how long does each take?
//
// It keeps a number of connections busy, each with one request at a time (a closed loop), and counts what
// comes back. It shares the machine with the server that it measures, so the hot path is a write of bytes
// that were made beforehand, a read, and a count: no net/http, no allocation.
//
// It is made for loopback: NewTarget refuses every other address, so that nobody is put under load who did
// not ask for it.
package drive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how hard and how long.
type Options struct {
	Connections int           // requests under way at any moment; default 16
	Duration    time.Duration // what is counted; required unless Requests is set
	Settle      time.Duration // load before Duration that is not counted
	Rest        time.Duration // quiet before that: what the last target still has to do is not the next one's cost
	Requests    int64         // stop after as many, or ten minutes; 0: Duration decides
}

// Result is what one run measured. Requests are those whose answer arrived, whole, within the counted time.
type Result struct {
	Requests  int64
	Elapsed   time.Duration
	Latency   Histogram
	Status    map[int]int64
	Errors    map[string]int64 // what went wrong on a connection -> how often
	BytesIn   int64
	BytesOut  int64
	Reconnect int64 // connections that the server ended after an answer

	// CPU is the processor time of the target's process in the counted time, if it is known which one it is.
	CPU time.Duration
}

// Rate is requests a second.
func (r *Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Requests) / r.Elapsed.Seconds()
}

// Cost is the processor time of the target's process for one answer; 0 if it is not known.
func (r *Result) Cost() time.Duration {
	if r.Requests == 0 {
		return 0
	}
	return r.CPU / time.Duration(r.Requests)
}

// Failed counts errors and answers that are no 2xx.
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

// Add joins what another run measured, as if it had been the same one, only longer.
func (r *Result) Add(other *Result) {
	r.Requests += other.Requests
	r.Elapsed += other.Elapsed
	r.Latency.Add(&other.Latency)
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

// patience is how long after its end a run waits for the last answers. A server that is silent for longer
// shows as an error on each connection.
const patience = 10 * time.Second

// longestBounded ends a run by number against a server that does not answer.
const longestBounded = 10 * time.Minute

// Run puts the target under load. An error means that there was nothing to measure: the options are
// senseless, or ctx ended. Whatever goes wrong between driver and server is in the Result.
func Run(ctx context.Context, t *Target, o Options) (*Result, error) {
	if o.Connections == 0 {
		o.Connections = 16
	}
	switch {
	case o.Connections < 1 || o.Connections > 1024:
		return nil, fmt.Errorf("%d connections: there can be 1 to 1024", o.Connections)
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

// window is the time, or the number of requests, that is counted. All workers share it.
type window struct {
	from, until time.Time
	bounded     bool
	left        atomic.Int64
}

// take says whether one more request may be sent.
func (w *window) take() bool {
	return !w.bounded || w.left.Add(-1) >= 0
}
