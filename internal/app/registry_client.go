package app

import (
	"fmt"
	"slices"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/registryapi"
)

// NewRegistryClient returns a client of a registry of the config, for a command. The registry
// reports the subject as the actor of the client's requests. The rate is registryapi.Options.Rate.
//
// The root's own key signs the tokens. A leaf for a single command would be a certificate that the
// journal does not have.
func NewRegistryClient(cfg *config.Config, service, subject string, rate float64, now func() time.Time) (*registryapi.Client, error) {
	i := slices.IndexFunc(cfg.Registries, func(r config.Registry) bool { return r.Service == service })
	if i < 0 {
		return nil, fmt.Errorf("the config has no registry %s", service)
	}
	r := &cfg.Registries[i]
	root, err := readRoot(cfg, now())
	if err != nil {
		return nil, err
	}
	keys, err := keyring.New(keyring.Options{
		Root: root, Direct: true, MaxToken: r.Lifetime, Uses: []keyring.Use{{KeyID: r.KeyID, Algorithm: r.Algorithm}}, Now: now,
	})
	if err != nil {
		return nil, err
	}
	issuer := &registryapi.Issuer{
		Keys: keys, KeyID: r.KeyID, Algorithm: r.Algorithm, Name: cfg.Token.Issuer, Service: service, Subject: subject,
		CatalogByPull: r.Preset == config.Zot, Now: now,
	}
	return registryapi.New(registryapi.Options{Service: service, URL: r.URL, CA: r.CA, Plain: r.Plain, Sign: issuer.Sign, Rate: rate, Now: now})
}
