package store

import (
	"context"
	"time"
)

// lookEvery is how often a watcher looks at the change counters: all replicas are to know of a change within
// two seconds.
const lookEvery = time.Second

// Watch calls changed with each of the topics once, and again whenever a Write has raised the topic's counter
// since, in this process or another, within two seconds of its commit. Several writes may come as one. It
// calls from the caller's goroutine, one topic at a time.
//
// While the database can't be read nothing is known; the first look that succeeds finds all that
// was missed. Watch ends with ctx, whose error it returns.
func (db *DB) Watch(ctx context.Context, topics []string, changed func(topic string)) error {
	known := make(map[string]int64)
	for _, topic := range topics {
		known[topic] = -1
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		look, cancel := context.WithTimeout(ctx, 5*lookEvery)
		found, err := counters(look, db.reader)
		cancel()
		for _, topic := range topics {
			if counter := found[topic]; err == nil && counter != known[topic] {
				known[topic] = counter
				changed(topic)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
