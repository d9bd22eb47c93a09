package server

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// activity records the times of a registry's newest token and newest event. If clients push and
// the registry reports no events, its notifications are not configured or do not arrive.
type activity struct {
	token, event atomic.Int64 // Unix seconds; 0: none since the process started
	waiting      atomic.Int64 // the first push granted since the newest event; 0: none
}

// maxSilence is how long a registry may take to report an event after a granted push. Otherwise
// its setup is assumed to be wrong. Most pushes finish within this time.
const maxSilence = 10 * time.Minute

// recordToken records a token, and reports whether the registry has been silent for too long after
// an earlier push.
func (a *activity) recordToken(now time.Time, results []policy.Result) (silent bool) {
	at := now.Unix()
	a.token.Store(at)
	for i := range results {
		if !results[i].Granted.Has(scope.Push) {
			continue
		}
		if a.waiting.CompareAndSwap(0, at) {
			return false
		}
		return at-a.waiting.Load() >= int64(maxSilence/time.Second)
	}
	return false
}

// recordEvent records an event.
func (a *activity) recordEvent(now time.Time) {
	a.event.Store(now.Unix())
	a.waiting.Store(0)
}

var (
	lastToken = prometheus.NewDesc("tidewaiter_registry_last_token_timestamp_seconds",
		"Time of a registry's newest token since the start, 0 for none.", []string{"registry"}, nil)
	lastEvent = prometheus.NewDesc("tidewaiter_registry_last_event_timestamp_seconds",
		"Time of a registry's newest event since the start, 0 for none.", []string{"registry"}, nil)
)

// activity returns the activity of a registry. A reload does not reset the activity.
func (m *Metrics) activity(service string) *activity {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.registries[service]
	if a == nil {
		a = new(activity)
		m.registries[service] = a
	}
	return a
}

func (m *Metrics) collectActivity(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for service, a := range m.registries {
		to <- prometheus.MustNewConstMetric(lastToken, prometheus.GaugeValue, float64(a.token.Load()), service)
		to <- prometheus.MustNewConstMetric(lastEvent, prometheus.GaugeValue, float64(a.event.Load()), service)
	}
}
