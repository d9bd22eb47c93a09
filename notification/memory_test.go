package notification_test

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/tidewaiter/tidewaiter/notification"
)

// An envelope with millions of invalid elements needs memory only for the elements that are
// decoded. If all elements were decoded, an envelope of 4 MB would need 180 MB.
func TestInvalidElementsNeedLittleMemory(t *testing.T) {
	body := append(append([]byte(`{"events":[0`), bytes.Repeat([]byte(",0"), 2<<20)...), "]}"...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	events, bad, err := notification.Decode(body)
	runtime.ReadMemStats(&after)
	if err != nil || len(events) != 0 || len(bad) == 0 {
		t.Fatalf("%d events, %d bad, %v", len(events), len(bad), err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
		t.Errorf("Decode used %d MB for a body of %d MB", took>>20, len(body)>>20)
	}
}
