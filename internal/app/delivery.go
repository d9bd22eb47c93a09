package app

import (
	"cmp"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// newDelivery returns the delivery to the webhooks of a config.
func (a *App) newDelivery(cfg *config.Config) (*delivery.Delivery, error) {
	return NewDelivery(cfg, a.db, a.journal, delivery.Options{Now: a.now, Log: a.log})
}

// NewDelivery returns the delivery to the webhooks of a config. The options need no webhooks.
func NewDelivery(cfg *config.Config, db *store.DB, j *journal.Journal, o delivery.Options) (*delivery.Delivery, error) {
	o.Source = cmp.Or(cfg.PublicURL, cfg.Token.Issuer)
	for _, w := range cfg.Webhooks {
		hook := delivery.Webhook{Name: w.Name, URL: w.URL, CA: w.CA, Keys: w.Keys, Private: w.Private, Filter: delivery.Filter{
			Actions: w.Actions, Repositories: w.Repositories, Namespaces: w.Namespaces,
		}}
		for _, kind := range w.Kinds {
			hook.Filter.Kinds = append(hook.Filter.Kinds, journal.Kind(kind))
		}
		o.Webhooks = append(o.Webhooks, hook)
	}
	return delivery.New(db, j, o)
}
