package server

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/scope"
)

// activity is when a registry was last heard of, by its clients and by itself. A registry whose clients
// push and which reports nothing has no notifications configured, or they do not arrive.
type activity struct {
	token, event atomic.Int64 // Unix seconds; 0: not since the start
	waiting      atomic.Int64 // the first push that was granted since the last event; 0: none
}

// silence is how long a registry may report nothing after a granted push: longer than most pushes take.
const silence = 10 * time.Minute

// granted records a token, and reports whether the registry should have reported an earlier push by now.
func (a *activity) granted(now time.Time, results []policy.Result) (silent bool) {
	at := now.Unix()
	a.token.Store(at)
	for i := range results {
		if !results[i].Granted.Has(scope.Push) {
			continue
		}
		if a.waiting.CompareAndSwap(0, at) {
			return false
		}
		return at-a.waiting.Load() >= int64(silence/time.Second)
	}
	return false
}

// reported records an event.
func (a *activity) reported(now time.Time) {
	a.event.Store(now.Unix())
	a.waiting.Store(0)
}

var (
	lastToken = prometheus.NewDesc("tidewaiter_registry_last_token_timestamp_seconds",
		"When a registry's last token was issued since the start, 0 for none.", []string{"registry"}, nil)
	lastEvent = prometheus.NewDesc("tidewaiter_registry_last_event_timestamp_seconds",
		"When a registry's last event arrived since the start, 0 for none.", []string{"registry"}, nil)
)

// activity returns that of a registry. It outlives a reload.
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

// collectActivity sends the gauges of each registry.
func (m *Metrics) collectActivity(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for service, a := range m.registries {
		to <- prometheus.MustNewConstMetric(lastToken, prometheus.GaugeValue, float64(a.token.Load()), service)
		to <- prometheus.MustNewConstMetric(lastEvent, prometheus.GaugeValue, float64(a.event.Load()), service)
	}
}
