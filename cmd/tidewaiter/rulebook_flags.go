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

// rulebookFlags has the flags of commands that manage rules, roles and namespaces. The commands open the
// database beside a running service.
type rulebookFlags struct {
	source *source
	output *format
}

func newRulebookFlags(cmd *cobra.Command) rulebookFlags {
	return rulebookFlags{configFlags(cmd), outputFlag(cmd)}
}

// rulebookSession is an open rulebook and the actor that changes are recorded for.
type rulebookSession struct {
	*rulebook.Rulebook
	by  rulebook.Actor
	cfg *config.Config
}

type rulebookOpener func(context.Context, *config.Config) (*rulebook.Rulebook, func() error, error)

func (k rulebookFlags) change(cmd *cobra.Command, do func(context.Context, rulebookSession) error) error {
	return k.open(cmd, app.OpenRulebook, do)
}

func (k rulebookFlags) read(cmd *cobra.Command, do func(context.Context, rulebookSession) error) error {
	return k.open(cmd, app.ReadRulebook, do)
}

func (k rulebookFlags) open(cmd *cobra.Command, open rulebookOpener, do func(context.Context, rulebookSession) error) (err error) {
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
	return do(ctx, rulebookSession{b, rulebook.Operator(operator()), cfg})
}

// says prints a line, or v with --output json.
func (k rulebookFlags) says(cmd *cobra.Command, v any, format string, args ...any) error {
	if *k.output == asJSON {
		return writeJSON(cmd.OutOrStdout(), v)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...)
	return err
}

// deleted is the JSON output of a command that deletes something.
type deleted struct {
	Name string `json:"name"`
}

// life formats a lifetime; "" for 0.
func life(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}
