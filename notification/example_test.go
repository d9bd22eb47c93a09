package notification_test

import (
	"fmt"

	"github.com/tidewaiter/tidewaiter/notification"
)

func ExampleDecode() {
	body := []byte(`{"events": [
		{"id": "e0a1", "action": "push",
		 "target": {"repository": "team/app", "tag": "v1", "digest": "sha256:1b2c3d4e5f60718293a4b5c6d7e8f901"},
		 "actor": {"name": "alice"}},
		{"id": "e0a2", "action": "push"}
	]}`)
	events, bad, err := notification.Decode(body)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, event := range events {
		fmt.Println(event.Summary())
	}
	for _, b := range bad {
		fmt.Printf("event %d: %s\n", b.Index, b.Reason)
	}
	// Output:
	// push team/app:v1 sha256:1b2c3d4e5f60… by alice
	// event 1: it has no repository
}
