package drive

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// worker keeps one connection busy. Until run returns, only the worker's goroutine uses the
// fields.
type worker struct {
	target *Target
	window *window
	next   int // index of the next request
	event  []byte
	result Result

	reader reader
	status [600]int64 // by status; counting needs no map
}

func newWorker(t *Target, w *window, number int) *worker {
	return &worker{
		target: t,
		window: w,
		// Each connection starts with another request, so that the connections do not all send the
		// same request at the same time.
		next:   number % len(t.requests),
		reader: reader{buf: make([]byte, bufferBytes)},
		result: Result{Status: map[int]int64{}, Errors: map[string]int64{}, latencies: newLatencies()},
	}
}

// run sends one request after the other until the window closes or ctx ends.
func (w *worker) run(ctx context.Context) {
	for more := true; more && ctx.Err() == nil && time.Now().Before(w.window.until); {
		var err error
		more, err = w.useConnection(ctx)
		switch {
		case err != nil:
			w.result.Errors[reason(err)]++
			// Pause, because the next try would probably return the same error.
			more = more && pause(ctx, 10*time.Millisecond)
		case more:
			w.result.Reconnect++
		}
	}
	for status, n := range w.status {
		if n > 0 {
			w.result.Status[status] = n
		}
	}
}

// useConnection dials and sends requests until the work is done or the connection ends. It reports
// whether there is more to do on another connection.
func (w *worker) useConnection(ctx context.Context) (more bool, err error) {
	conn, err := w.target.dial(ctx)
	if err != nil {
		// A failed dial counts as a request. Otherwise, if there is no server, a run with a number
		// of requests would never end.
		return w.window.takeRequest(), err
	}
	defer conn.Close()
	// The whole connection has one deadline, because a timer for each request would slow down the
	// driver.
	if err := conn.SetDeadline(w.window.until.Add(patience)); err != nil {
		return true, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	w.reader.reset(conn)

	sent := time.Now()
	for sent.Before(w.window.until) {
		if !w.window.takeRequest() {
			return false, nil
		}
		request := w.target.requests[w.next]
		if w.target.events != nil {
			w.event = w.target.events.writeNext(append(w.event[:0], request...), sent)
			request = w.event
		}
		if w.next++; w.next == len(w.target.requests) {
			w.next = 0
		}
		if _, err := conn.Write(request); err != nil {
			return true, err
		}
		answer, err := w.reader.readResponse()
		if err != nil {
			return true, err
		}
		now := time.Now()
		if !sent.Before(w.window.from) && !now.After(w.window.until) {
			w.result.record(now.Sub(sent))
			w.status[answer.status]++
			w.result.BytesIn += answer.bytes
			w.result.BytesOut += int64(len(request))
		}
		sent = now
		if answer.close {
			return true, nil
		}
	}
	return false, nil
}

// pause waits and reports whether ctx is still active.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reason describes an error in a few words. It omits addresses and ports, so that errors with the
// same cause have the same text.
func reason(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF):
		return "connection ended before an answer"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "connection ended within an answer"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}
