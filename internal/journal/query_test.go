package journal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
)

// A registry can post events whose entries are large. A page with such entries has fewer entries
// than its limit, and the next page has the rest.
func TestPagesOfLargeEntriesAreShort(t *testing.T) {
	j, _ := open(t, storetest.SQLite().Ready(t), journal.Options{})
	var references []notification.Descriptor
	for range 256 {
		references = append(references, notification.Descriptor{MediaType: strings.Repeat("<", 500), Digest: strings.Repeat("‹", 170)})
	}
	const n = 60
	for i := range n {
		e := push(fmt.Sprint("e", i))
		e.Event.References = references
		if err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	found := 0
	for before := journal.Position(0); ; {
		page, err := j.Search(t.Context(), journal.Query{}, before, 1000, func(int) bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Entries) == 0 || len(page.Entries) > n/2 {
			t.Fatalf("a page has %d entries", len(page.Entries))
		}
		found += len(page.Entries)
		if before = page.Next; before == 0 {
			break
		}
	}
	if found != n {
		t.Errorf("%d entries on all pages, want %d", found, n)
	}
}
