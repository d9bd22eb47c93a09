package server

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests by outcome. The caller of NewMetrics registers the Metrics.
type Metrics struct {
	Tokens    *prometheus.CounterVec // token requests by outcome
	Envelopes *prometheus.CounterVec // posted envelopes by outcome
	Refused   *prometheus.CounterVec // requests that failed because of a wrong setup, by kind

	signed, reused prometheus.Counter // counters of Tokens, looked up once

	mu         sync.Mutex
	registries map[string]*activity // by service; bounded by the registries of the config
}

// NewMetrics returns counters at zero.
func NewMetrics() *Metrics {
	m := &Metrics{
		registries: make(map[string]*activity),
		Tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_token_requests_total",
			Help: "Token requests by outcome: signed, reused, denied, rejected, throttled, bad_request, unavailable, fault.",
		}, []string{"outcome"}),
		Envelopes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidewaiter_notification_envelopes_total",
			Help: "Envelopes of events that registries posted, by outcome: taken, refused, broken, unavailable.",
		}, []string{"outcome"}),
	}
	m.Refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tidewaiter_refused_requests_total",
		Help: "Requests that may have failed because of a wrong setup, by kind: " + kindsOfMisconfigurations() + ".",
	}, []string{"kind"})
	for kind := range messages {
		m.Refused.WithLabelValues(string(kind)) // present from the start, for alerts
	}
	m.signed = m.Tokens.WithLabelValues("signed")
	m.reused = m.Tokens.WithLabelValues("reused")
	return m
}

// Describe and Collect make Metrics a prometheus.Collector.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	m.Tokens.Describe(to)
	m.Envelopes.Describe(to)
	m.Refused.Describe(to)
	to <- lastToken
	to <- lastEvent
}

// Collect sends the counters' values.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.Tokens.Collect(to)
	m.Envelopes.Collect(to)
	m.Refused.Collect(to)
	m.collectActivity(to)
}

func (m *Metrics) answered(reused bool) {
	if reused {
		m.reused.Inc()
		return
	}
	m.signed.Inc()
}
