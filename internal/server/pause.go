package server

import (
	"context"
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/identity"
)

const (
	// DefaultPause is how long who is throttled waits for the answer that says so. A program that tries again at once, on
	// however many connections, gets a few answers a second on each, instead of as many as the machine can give.
	DefaultPause = 250 * time.Millisecond

	// maxPaused bounds how many wait so at once. One more is answered at once: their connections must not be those
	// that everybody else needs.
	maxPaused = 256
)

// pauses makes who is throttled wait.
type pauses struct {
	length time.Duration
	places chan struct{}
}

func newPauses(length time.Duration) *pauses {
	if length == 0 {
		length = DefaultPause
	}
	return &pauses{length: length, places: make(chan struct{}, maxPaused)}
}

// before waits before the answer of an error, if it is one of throttling, and there is a place. It ends with ctx.
func (p *pauses) before(ctx context.Context, err error) {
	if p.length < 0 || !errors.Is(err, identity.ErrRateLimited) {
		return
	}
	select {
	case p.places <- struct{}{}:
	default:
		return
	}
	defer func() { <-p.places }()
	timer := time.NewTimer(p.length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
