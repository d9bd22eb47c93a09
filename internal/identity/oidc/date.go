package oidc

import (
	"encoding/json"
	"math"
	"time"
)

// parseDate parses a NumericDate: seconds since 1970, possibly with a fraction.
func parseDate(v any) (time.Time, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	const latest = 253402300799 // last second of the year 9999
	seconds, err := n.Float64()
	if err != nil || !(seconds > 0 && seconds <= latest) {
		return time.Time{}, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}
