package password

import "context"

// HoldLane takes the whole lane, once it is free, until release is called.
func (h *Hashing) HoldLane() (release func()) {
	if err := h.lane.enter(context.Background(), Asker{}, h.lane.all); err != nil {
		panic(err)
	}
	return func() { h.lane.leave(h.lane.all) }
}

// Flights returns how many hashes are computed or waited for.
func (h *Hashing) Flights() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.flights)
}

// Held returns how many pairs are remembered.
func (h *Hashing) Held() int {
	h.remembered.mu.RLock()
	defer h.remembered.mu.RUnlock()
	return len(h.remembered.young) + len(h.remembered.old)
}
