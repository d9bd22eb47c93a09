package password

import "context"

// flight is a hash that is being computed, and those who wait for it. It ends by itself; if all
// who wait have gone before it got into the limiter, it ends at once.
type flight struct {
	waiters int // owned by the Hashing's mu
	cancel  context.CancelFunc
	done    chan struct{}
	err     error // once done is closed
}

// share runs work for k, or waits for the one that runs. Each caller waits under a ctx of his own: one
// who leaves takes the answer from nobody else. A nil error is remembered for k.
func (h *Hashing) share(ctx context.Context, k key, work func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h.mu.Lock()
	f, running := h.flights[k]
	switch {
	case running:
		h.shared.Add(1)
	case h.remembered.has(k): // a flight has landed since Compare looked
		h.mu.Unlock()
		h.recalled.Add(1)
		return nil
	default:
		f = &flight{done: make(chan struct{})}
		var flying context.Context
		flying, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
		h.flights[k] = f
		go h.fly(flying, k, f, work)
	}
	f.waiters++
	h.mu.Unlock()

	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		h.mu.Lock()
		defer h.mu.Unlock()
		if f.waiters--; f.waiters == 0 {
			h.landLocked(k, f) // nobody may board a flight that is called off
			f.cancel()
		}
		return ctx.Err()
	}
}

// fly does the work of f. What was found is remembered before the flight is gone, so that at each
// moment a pair that matched is known by one or the other.
func (h *Hashing) fly(ctx context.Context, k key, f *flight, work func(context.Context) error) {
	defer f.cancel()
	f.err = work(ctx)
	if f.err == nil {
		h.remembered.add(k)
	}
	h.mu.Lock()
	h.landLocked(k, f)
	h.mu.Unlock()
	close(f.done)
}

// landLocked takes f away, unless another flight for k has started since f was called off.
func (h *Hashing) landLocked(k key, f *flight) {
	if h.flights[k] == f {
		delete(h.flights, k)
	}
}
