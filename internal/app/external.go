package app

import (
	"errors"
	"log/slog"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/identity/external"
	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// newExternal builds a webhook or exec hook from a config. If its error is
// strictyaml.Problems, each has a position.
func newExternal(cfg *config.Config, e *config.Hook, log *slog.Logger, now func() time.Time) (*external.External, error) {
	made, err := external.New(external.Options{
		Name: e.Name, URL: e.URL, Command: e.Command, Environment: e.Environment,
		CA: e.CA, Certificate: e.Certificate, Key: e.Key, BearerFile: e.BearerFile,
		Timeout: e.Timeout, MaxConcurrent: e.MaxConcurrent, Find: e.Find, Groups: e.Groups, Replace: e.Replace, Log: log, Now: now,
	})
	problems, ok := errors.AsType[external.Problems](err)
	if !ok {
		return made, err
	}
	placed := make(strictyaml.Problems, len(problems))
	for i, p := range problems {
		placed[i] = strictyaml.Problem{File: cfg.File, Text: p.Field + ": " + p.Text}
		placed[i].Line, placed[i].Column = e.Place(p.Field)
	}
	return nil, placed
}
