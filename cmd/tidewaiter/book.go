package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
)

// book is what commands share that look after rules, roles and namespaces in the database. They open the state that the
// service has open.
type book struct {
	source *source
	output *format
}

func bookFlags(cmd *cobra.Command) book { return book{configFlags(cmd), outputFlag(cmd)} }

// shelf is where they are looked after.
type shelf struct {
	*rulebook.Rulebook
	by  rulebook.Actor
	cfg *config.Config
}

type bookOpening func(context.Context, *config.Config) (*rulebook.Rulebook, func() error, error)

func (k book) change(cmd *cobra.Command, do func(context.Context, shelf) error) error {
	return k.open(cmd, app.OpenRulebook, do)
}

func (k book) read(cmd *cobra.Command, do func(context.Context, shelf) error) error {
	return k.open(cmd, app.ReadRulebook, do)
}

func (k book) open(cmd *cobra.Command, open bookOpening, do func(context.Context, shelf) error) (err error) {
	cfg, err := k.source.load()
	if err != nil {
		return err
	}
	ctx, stop := untilStopped(cmd.Context())
	defer stop()
	b, closing, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closing()) }()
	return do(ctx, shelf{b, rulebook.Operator(operator()), cfg})
}

// says writes a line for people, or v for programs.
func (k book) says(cmd *cobra.Command, v any, format string, args ...any) error {
	if *k.output == asJSON {
		return writeJSON(cmd.OutOrStdout(), v)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	return err
}

// gone is what a command that deletes says to programs.
type gone struct {
	Name string `json:"name"`
}

// life is a lifetime for people; "" for none.
func life(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
