package journal_test

import (
	"context"
	"fmt"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/notification"
)

func Example() {
	ctx := context.Background()
	db, err := store.Open(ctx, "sqlite::memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	j, err := journal.New(db, journal.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer j.Close(ctx)

	event := &notification.Event{ID: "e0a1", Action: notification.Push, Repository: "team/app", Tag: "v1", Actor: "alice"}
	for range 2 { // a registry repeats an event that was not acknowledged
		if err := j.Append(ctx, journal.Entry{Registry: "registry.example.com", Event: event}); err != nil {
			fmt.Println(err)
			return
		}
	}
	for entry, err := range j.Read(ctx, 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(entry.Position, entry.Summary())
	}
	// Output:
	// 1 event push team/app:v1 by alice at registry.example.com
}
