package server

import (
	"context"
	"errors"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity"
)

const (
	// defaultPause is the delay before a rate-limited client gets its answer. With the delay, a
	// program that retries at once gets only a few answers a second on each connection.
	defaultPause = 250 * time.Millisecond

	// maxPaused is the maximum number of answers that are delayed at the same time. Further
	// answers are not delayed. Otherwise delayed answers could occupy the connections that other
	// clients need.
	maxPaused = 256
)

// tarpit delays the answers to rate-limited clients.
type tarpit struct {
	length time.Duration
	slots  chan struct{}
}

func newTarpit(length time.Duration) *tarpit {
	if length == 0 {
		length = defaultPause
	}
	return &tarpit{length: length, slots: make(chan struct{}, maxPaused)}
}

// delay waits if err is a rate limit and a slot is free. It returns early when ctx ends. Call
// it before the answer is written.
func (p *tarpit) delay(ctx context.Context, err error) {
	if p.length < 0 || !errors.Is(err, identity.ErrRateLimited) {
		return
	}
	select {
	case p.slots <- struct{}{}:
	default:
		return
	}
	defer func() { <-p.slots }()
	_ = clock.Sleep(ctx, p.length)
}
