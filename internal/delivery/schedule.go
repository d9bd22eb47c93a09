package delivery

import "time"

const (
	maxDelay = 10 * time.Hour
	// giveUp is how long a webhook or an entry can fail.
	giveUp = 5 * 24 * time.Hour
	// spread is the largest part by which a delay is made longer, so that webhooks that failed
	// together are not retried together.
	spread = 0.1
)

// delays are the waits after failures, as the specification Standard Webhooks recommends.
var delays = [...]time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, maxDelay}

// retryDelay returns the wait after the given number of failures. The jitter is from 0 to 1.
func retryDelay(failures int64, jitter float64) time.Duration {
	if failures < 1 {
		return 0
	}
	delay := delays[min(failures, int64(len(delays)))-1]
	return delay + time.Duration(spread*jitter*float64(delay))
}
