package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"syscall"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/sirupsen/logrus"
	"go.yaml.in/yaml/v4"

	// Accepts Tidewaiter's tokens.
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // stores layers
)

// registryOptions are the settings of a registry.
type registryOptions struct {
	Root                   string // PEM file of the trusted certificate
	Issuer, Service, Realm string
	Storage                string // folder
	EventsURL, EventSecret string
	HTTPSecret             string // signs the state of uploads between two requests
	Log                    string // file
}

// openRegistry returns a registry (distribution 3) that requires Tidewaiter's tokens and posts
// its events to Tidewaiter.
func openRegistry(ctx context.Context, o registryOptions) (_ http.Handler, err error) {
	log, err := os.OpenFile(o.Log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the registry's log: %w", err)
	}
	// The registry has one global logger. At its start, the registry logs the headers for events,
	// which include the secret.
	logrus.SetOutput(secretFilter{log, []byte(o.EventSecret)})

	type object = map[string]any
	text, err := yaml.Marshal(object{
		"version": "0.1",
		"log":     object{"level": "info", "accesslog": object{"disabled": true}},
		"storage": object{
			"filesystem": object{"rootdirectory": o.Storage},
			"delete":     object{"enabled": true},
		},
		"http": object{"secret": o.HTTPSecret},
		"auth": object{"token": object{
			"realm": o.Realm, "service": o.Service, "issuer": o.Issuer, "rootcertbundle": o.Root,
		}},
		"notifications": object{
			"events": object{"includereferences": true}, // for the sizes in the catalog
			"endpoints": []object{{
				"name": "tidewaiter", "url": o.EventsURL,
				"headers": object{"Authorization": []string{"Bearer " + o.EventSecret}},
				"timeout": "10s", "threshold": 3, "backoff": "1s",
			}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("writing the registry's configuration: %w", err)
	}
	parsed, err := configuration.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading the registry's configuration: %w", err)
	}
	defer func() {
		// The registry panics if its storage or certificate cannot be used.
		if p := recover(); p != nil {
			err = fmt.Errorf("starting the registry: %v", p)
		}
	}()
	return handlers.NewApp(ctx, parsed), nil
}

// secretFilter is a writer that drops lines with a secret. It expects whole lines.
type secretFilter struct {
	out    io.Writer
	secret []byte
}

func (w secretFilter) Write(line []byte) (int, error) {
	if _, err := w.out.Write(bytes.ReplaceAll(line, w.secret, []byte("[secret]"))); err != nil {
		return 0, err
	}
	return len(line), nil
}
