package store

import (
	"context"
	"time"
)

// lookEvery is the time between two reads of the change counters by a watcher. With this value,
// replicas notice a change within two seconds.
const lookEvery = time.Second

// Watch calls the function onChange once for each topic, and again within two seconds after a
// Write of any process has incremented the topic's counter. Several writes can cause a single
// call. All calls are made from the caller's goroutine.
//
// If the database cannot be read, changes are reported after the next successful read. Watch
// returns ctx's error when ctx ends.
func (db *DB) Watch(ctx context.Context, topics []string, onChange func(topic string)) error {
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
				onChange(topic)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
