package api

import (
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal"
)

// NarrowQuery is namespaceTimes.narrowQuery.
func NarrowQuery(namespaces map[string]time.Time, q journal.Query) journal.Query {
	return namespaceTimes(namespaces).narrowQuery(q)
}
