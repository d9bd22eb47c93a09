package app

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// newDelivery returns the delivery to the webhooks of a config. New webhooks get all entries that
// are written from now on.
func (a *App) newDelivery(ctx context.Context, cfg *config.Config) (*delivery.Delivery, error) {
	d, err := NewDelivery(cfg, a.db, a.journal, delivery.Options{Now: a.now, Log: a.log})
	if err != nil {
		return nil, err
	}
	if err := d.Begin(ctx); err != nil {
		a.log.Warn("new webhooks begin later, because their positions cannot be stored now", "error", err)
	}
	return d, nil
}

// NewDelivery returns the delivery to the webhooks and files of a config. The options need no
// webhooks.
func NewDelivery(cfg *config.Config, db *store.DB, j *journal.Journal, o delivery.Options) (*delivery.Delivery, error) {
	o.Source = cmp.Or(cfg.PublicURL, cfg.Token.Issuer)
	for _, w := range cfg.Webhooks {
		o.Webhooks = append(o.Webhooks, delivery.Webhook{
			Name: w.Name, URL: w.URL, CA: w.CA, Keys: w.Keys, Private: w.Private,
			Filter: newFilter(w.Filter.Kinds, w.Filter.Actions, w.Filter.Repositories, w.Filter.Namespaces),
		})
	}
	for _, f := range cfg.Journal.Files {
		o.Webhooks = append(o.Webhooks, delivery.Webhook{
			Name: f.Name, File: &delivery.File{Path: f.Path, MaxSize: f.MaxSize, MaxFiles: f.MaxFiles},
			Filter: newFilter(f.Filter.Kinds, f.Filter.Actions, f.Filter.Repositories, f.Filter.Namespaces),
		})
	}
	return delivery.New(db, j, o)
}

func newFilter(kinds, actions, repositories, namespaces []string) delivery.Filter {
	filter := delivery.Filter{Actions: actions, Repositories: repositories, Namespaces: namespaces}
	for _, kind := range kinds {
		filter.Kinds = append(filter.Kinds, journal.Kind(kind))
	}
	return filter
}

// statusTakes is the time limit for reading the states of the webhooks.
const statusTakes = time.Second

// webhookStatus returns the states of the webhooks, or nil if they cannot be read now.
func (a *App) webhookStatus() []delivery.Status {
	d := a.Delivery()
	if d == nil {
		return nil
	}
	ctx, end := context.WithTimeout(context.Background(), statusTakes)
	defer end()
	list, _ := d.Status(ctx)
	return list
}

func (a *App) webhookProblems() []string { return delivery.Problems(a.webhookStatus()) }

// webhookMetrics are the metrics of the webhooks. Their label is the name of the webhook in the
// config.
type webhookMetrics struct{ app *App }

var (
	webhookBehind = prometheus.NewDesc("tidewaiter_webhook_behind", "Entries of the journal, from the first entry that waits for delivery to a webhook to the newest entry.", []string{"webhook"}, nil)
	webhookOldest = prometheus.NewDesc("tidewaiter_webhook_oldest_seconds", "The age of the oldest entry that waits for delivery to a webhook; 0 if none waits.", []string{"webhook"}, nil)
	webhookOn     = prometheus.NewDesc("tidewaiter_webhook_on", "1 if a webhook is switched on, otherwise 0.", []string{"webhook"}, nil)
	webhookFailed = prometheus.NewDesc("tidewaiter_webhook_failures", "Deliveries to a webhook that failed in a row.", []string{"webhook"}, nil)
)

func (webhookMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{webhookBehind, webhookOldest, webhookOn, webhookFailed} {
		to <- d
	}
}

func (m webhookMetrics) Collect(to chan<- prometheus.Metric) {
	for _, s := range m.app.webhookStatus() {
		gauge := func(d *prometheus.Desc, value float64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, s.Name)
		}
		oldest, on := 0.0, 0.0
		if !s.Oldest.IsZero() {
			oldest = max(0, m.app.now().Sub(s.Oldest).Seconds())
		}
		if s.Off == "" {
			on = 1
		}
		gauge(webhookBehind, float64(s.Behind))
		gauge(webhookOldest, oldest)
		gauge(webhookOn, on)
		gauge(webhookFailed, float64(s.Failures))
	}
}
