package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

// manyNames is the number of names that one target sends in turn.
const manyNames = 100_000

// measureFlood measures how sixteen connections with wrong passwords slow down anonymous requests,
// with bcrypt hashes of cost 10. One deployment has the default rate limits. In the other
// deployment, each guess has a different client address, so only the queue limits the hashes.
func (m *measurement) measureFlood(ctx context.Context) error {
	for _, d := range []deployment{
		{name: "flooded", reuse: true, rules: 1},
		{name: "flooded-from-everywhere", reuse: true, rules: 1, proxied: true},
	} {
		for _, connections := range []int{1, m.connections} {
			if err := m.flooded(ctx, d, connections); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *measurement) flooded(ctx context.Context, d deployment, connections int) (err error) {
	what := fmt.Sprintf("%s, %d anonymous %s", d.name, connections, plural(connections, "connection"))
	fmt.Fprintf(m.progress, "%s …\n", what)
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	anonymous, err := drive.NewTarget(ctx, drive.TargetOptions{Name: "anonymous", URL: s.address + asked, Process: s.process()})
	if err != nil {
		return err
	}
	guesses, err := drive.NewTarget(ctx, drive.TargetOptions{
		Name: "guesses", URL: s.address + asked, User: "nobody", Password: "wrong", Names: manyNames, Apart: d.proxied,
	})
	if err != nil {
		return err
	}

	// For comparison, measure the same requests during other work: a program that keeps one core
	// busy, like a hash, and 16 more connections with anonymous requests.
	busy := func(ctx context.Context) (*drive.Result, error) { return nil, occupy(ctx, m.slice+settleTime) }
	turns := []func(context.Context) (*drive.Result, error){
		quietTurn: nil, busyTurn: busy, moreTurn: m.background(anonymous), guessTurn: m.background(guesses),
	}
	c := &drive.Comparison{Targets: make([]drive.Compared, len(turns))}
	var guessed drive.Result
	for range int(m.duration / m.slice) {
		for i, beside := range turns {
			result, other, err := m.measureTurn(ctx, anonymous, connections, beside)
			if err != nil {
				return err
			}
			if i == guessTurn {
				guessed.Add(other)
			}
			c.Targets[i].Slice = append(c.Targets[i].Slice, result)
			c.Targets[i].All.Add(result)
		}
	}
	for i := range c.Targets {
		if all := &c.Targets[i].All; all.Failed() > 0 {
			return fmt.Errorf("%s: %d anonymous requests failed: status %v, errors %v", what, all.Failed(), all.Status, all.Errors)
		}
	}
	for _, figure := range []struct {
		name string
		of   drive.Figure
	}{{"p50", drive.P50}, {"p99", drive.P99}} {
		spread := c.Ratio(guessTurn, quietTurn, figure.of)
		m.add(bar{
			What: what + ", " + figure.name + " of quiet", Unit: "times", Value: spread.Median, Spread: spread, AtMost: number(2), decimals: 2,
			Beside: fmt.Sprintf("%.0f µs of %.0f µs; with a busy core instead %.2f times, with 16 more anonymous connections %.2f times; guesses were answered %v",
				c.Spread(guessTurn, figure.of).Median, c.Spread(quietTurn, figure.of).Median, c.Ratio(busyTurn, quietTurn, figure.of).Median,
				c.Ratio(moreTurn, quietTurn, figure.of).Median, guessed.Status),
		})
	}
	return nil
}

// The turns of a round, in this order.
const (
	quietTurn = iota
	busyTurn
	moreTurn
	guessTurn
)

// settleTime is the time between the start of the background work and the start of the
// measurement.
const settleTime = 300 * time.Millisecond

// background returns a function that measureTurn runs at the same time. The function sends
// requests to t over 16 connections for one turn.
func (m *measurement) background(t *drive.Target) func(context.Context) (*drive.Result, error) {
	return func(ctx context.Context) (*drive.Result, error) {
		return drive.Run(ctx, t, drive.Options{Connections: 16, Duration: m.slice + settleTime})
	}
}

// measureTurn measures the target. At the same time, it runs the function background, which may be
// nil. It returns when both have ended.
func (m *measurement) measureTurn(ctx context.Context, t *drive.Target, connections int, background func(context.Context) (*drive.Result, error)) (result, other *drive.Result, err error) {
	var failed error
	var both sync.WaitGroup
	if background != nil {
		both.Go(func() { other, failed = background(ctx) })
	}
	result, err = drive.Run(ctx, t, drive.Options{Connections: connections, Duration: m.slice, Settle: settleTime})
	both.Wait()
	return result, other, errors.Join(err, failed)
}

// occupy keeps one core busy for the duration d, in a separate process.
func occupy(ctx context.Context, d time.Duration) error {
	busy, done := context.WithTimeout(ctx, d)
	defer done()
	err := exec.CommandContext(busy, "sh", "-c", "while :; do :; done").Run()
	if busy.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("keeping a core busy: %w", err)
}

// measureNames measures the memory that a million names take.
func (m *measurement) measureNames(ctx context.Context) (err error) {
	d := deployment{name: "named", reuse: true, rules: 1}
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if _, err := fetchToken(ctx, s.address, ""); err != nil {
		return err
	}
	if err := rest(ctx, quietTime); err != nil {
		return err
	}
	before, err := s.residentMemory()
	if err != nil {
		return err
	}
	var all drive.Result
	most := before
	for i := range 10 {
		fmt.Fprintf(m.progress, "%d names …\n", (i+1)*manyNames)
		target, err := drive.NewTarget(ctx, drive.TargetOptions{
			URL: s.address + asked, User: fmt.Sprintf("nobody-%d", i), Password: "wrong", Names: manyNames,
		})
		if err != nil {
			return err
		}
		// One connection sends each name once.
		result, err := drive.Run(ctx, target, drive.Options{Connections: 1, Requests: manyNames})
		if err != nil {
			return err
		}
		all.Add(result)
		now, err := s.residentMemory()
		if err != nil {
			return err
		}
		most = max(most, now)
	}
	if err := rest(ctx, quietTime); err != nil {
		return err
	}
	after, err := s.residentMemory()
	if err != nil {
		return err
	}
	m.add(bar{
		What: fmt.Sprintf("memory that %d names take", all.Requests), Unit: "MB", Value: float64(most-before) / 1e6, AtMost: number(20), decimals: 1,
		Beside: fmt.Sprintf("at most; %.1f MB after it; %.1f MB before it; answered %v", float64(after-before)/1e6, float64(before)/1e6, all.Status),
	})
	return nil
}
