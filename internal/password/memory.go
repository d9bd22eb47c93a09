package password

import (
	"sync"
	"time"
)

// The buffers of argon2id are garbage once the hash is computed. But the runtime collects
// garbage only as the heap grows, so an idle process would keep them for minutes.
const (
	large = 1 << 20         // minimum size in bytes of a hash that counts
	quiet = 5 * time.Second // since the last large hash
)

// cleaner returns memory to the system when hashing has stopped for a while.
type cleaner struct {
	// debug.FreeOSMemory: it collects garbage, and takes a few milliseconds beside other work.
	free func()

	mu    sync.Mutex
	timer *time.Timer
}

// used records that a hash used a number of bytes.
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
