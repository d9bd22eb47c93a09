package retention_test

import (
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
)

func Example() {
	fmt.Println(retention.Limits{
		Decisions: retention.Limit{Age: 90 * 24 * time.Hour, Size: 1e9},
		Refused:   retention.Limit{Age: 36 * time.Hour, Size: 250e6},
		Events:    retention.Limit{Size: 1.5e9},
	})
	// Output:
	// decisions 90d up to 1 GB, refused 36h0m0s up to 250 MB, events forever up to 1.5 GB, changes forever, service forever
}
