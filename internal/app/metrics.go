package app

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tidewaiter/tidewaiter/internal/ratelimit"
	"github.com/tidewaiter/tidewaiter/internal/replay"
)

// newMetrics registers all metrics. No label contains a name of a user, an address or a
// repository, because clients could then create any number of series.
func newMetrics(a *App) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), a.counts)
	counter := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
	}
	gauge := func(name, help string, value func() float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	counter("tidewaiter_journal_entries_total", "Entries that are durable in the journal.",
		func() float64 { return float64(a.journal.Stats().Written) })
	counter("tidewaiter_journal_lost_total", "Decisions that could not be recorded (audit: best-effort).",
		func() float64 { return float64(a.journal.Stats().Lost) })
	gauge("tidewaiter_journal_queued", "Entries that wait for the journal's writer.",
		func() float64 { return float64(a.journal.Stats().Queued) })
	if _, _, ok := a.disk.space(); ok {
		gauge("tidewaiter_database_disk_free_bytes", "Free space on the disk of the database.",
			func() float64 { free, _, _ := a.disk.space(); return float64(free) })
	}
	for i, p := range a.derived.Status() {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidewaiter_projection_behind", Help: "Entries of the journal that a projection has not read yet.",
			ConstLabels: prometheus.Labels{"projection": p.Name},
		}, func() float64 { return float64(a.derived.Status()[i].Behind) }))
	}
	counter("tidewaiter_password_hashes_total", "Passwords that were hashed.",
		func() float64 { return float64(a.hashing.Stats().Hashed) })
	counter("tidewaiter_password_hashes_skipped_total", "Unknown names that waited for a hash while the queue was crowded, and were not hashed.",
		func() float64 { return float64(a.hashing.Stats().Skipped) })
	counter("tidewaiter_password_busy_total", "Passwords that were not checked, because the queue was full or the wait was too long.",
		func() float64 { return float64(a.hashing.Stats().Busy) })
	gauge("tidewaiter_password_waiting", "Passwords that wait for a hash.",
		func() float64 { return float64(a.hashing.Stats().Waiting) })
	counter("tidewaiter_password_recalled_total", "Passwords that needed no hash, because the same password was verified a short time before.",
		func() float64 { return float64(a.hashing.Stats().Remembered) })
	limited := func(value func(ratelimit.Stats) uint64) func() float64 {
		return func() float64 { return float64(value(a.issuer.Live().Chain.Limiter().Stats())) }
	}
	counter("tidewaiter_sign_ins_failed_total", "Sign-ins with a wrong name or password.",
		limited(func(s ratelimit.Stats) uint64 { return s.Failed }))
	counter("tidewaiter_sign_ins_throttled_by_name_total", "Sign-ins that were refused because of earlier failures with the same name.",
		limited(func(s ratelimit.Stats) uint64 { return s.ByName }))
	counter("tidewaiter_sign_ins_throttled_by_address_total", "Sign-ins that were refused because of earlier failures from the same address.",
		limited(func(s ratelimit.Stats) uint64 { return s.BySource }))
	gauge("tidewaiter_connections_open", "Connections that are open.",
		func() float64 { return float64(a.connectionStats().Open) })
	counter("tidewaiter_connections_closed_total", "Waiting connections that were closed in favour of new ones.",
		func() float64 { return float64(a.connectionStats().Closed) })
	counter("tidewaiter_connections_refused_total", "Connections that were refused, because too many were open.",
		func() float64 { return float64(a.connectionStats().Refused) })
	gauge("tidewaiter_policy_rules", "Rules of the policy in force.",
		func() float64 { return float64(a.issuer.Live().Policy.Len()) })
	shadow := func(result string, value func(replay.ShadowStats) int64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "tidewaiter_shadow_decisions_total", Help: "Requests that the shadow policy judged, by the difference from the policy in force.",
			ConstLabels: prometheus.Labels{"result": result},
		}, func() float64 { return float64(value(a.shadow.Stats())) }))
	}
	shadow("same", func(s replay.ShadowStats) int64 { return s.Same })
	shadow("refused", func(s replay.ShadowStats) int64 { return s.Refused })
	shadow("allowed", func(s replay.ShadowStats) int64 { return s.Allowed })
	shadow("failed", func(s replay.ShadowStats) int64 { return s.Failed })
	gauge("tidewaiter_shadow_policy_rules", "Rules of the shadow policy; 0 without a shadow policy, or if its files have errors.",
		func() float64 { return float64(a.issuer.Live().Shadow.Len()) })
	gauge("tidewaiter_policy_last_reload_successful", "1 if the current files and database are in force, 0 if an older policy is in force.",
		func() float64 {
			if a.reasonNotInForce() != nil {
				return 0
			}
			return 1
		})
	gauge("tidewaiter_policy_files_unread", "1 if files have changed and wait for SIGHUP (policy.watch: false), otherwise 0.",
		func() float64 {
			if a.unread.Load() {
				return 1
			}
			return 0
		})
	gauge("tidewaiter_policy_load_time_seconds", "When the policy in force was loaded, in seconds since 1970.",
		func() float64 { return float64(a.rulebook.Status().Loaded.UnixMilli()) / 1000 })
	r.MustRegister(policyInfo{a}, webhookMetrics{a})
	return r
}

var policyInfoDesc = prometheus.NewDesc("tidewaiter_policy_info", "The version of the policy in force.", []string{"version"}, nil)

// policyInfo is a metric whose label is the version of the policy in force. It has no series
// for former versions.
type policyInfo struct{ app *App }

func (policyInfo) Describe(to chan<- *prometheus.Desc) { to <- policyInfoDesc }

func (p policyInfo) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(policyInfoDesc, prometheus.GaugeValue, 1, p.app.rulebook.Policy().ID())
}

func gather(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
