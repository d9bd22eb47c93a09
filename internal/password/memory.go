package password

import (
	"sync"
	"time"
)

// The buffers of argon2id are garbage as soon as their hash is made, but the runtime looks for garbage
// only as the heap grows: a process that has become quiet would keep them for minutes.
const (
	large = 1 << 20         // bytes that are worth it
	quiet = 5 * time.Second // after the last large hash
)

// cleaner gives memory back to the system once hashing has become quiet.
type cleaner struct {
	free func() // debug.FreeOSMemory: it collects garbage, and lasts some milliseconds, beside other work

	mu    sync.Mutex
	timer *time.Timer
}

// used notes that a hash has used so many bytes.
func (c *cleaner) used(bytes int64) {
	if bytes < large {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = time.AfterFunc(quiet, c.free)
		return
	}
	c.timer.Reset(quiet)
}
