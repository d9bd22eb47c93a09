package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

// manyNames is how many names one target can show in turn.
const manyNames = 100_000

// flood measures what anonymous requests notice of sixteen connections that try wrong passwords, where a hash is
// bcrypt of cost 10. One deployment makes the guessers wait, as it does by default. The other sees each guess come from
// an address of its own, so that nothing stands between a guess and its hash but the lane.
func (m *measurement) flood(ctx context.Context) error {
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

	const settle = 300 * time.Millisecond
	c := &drive.Comparison{Targets: make([]drive.Compared, 2)}
	var all drive.Result
	for range int(m.duration / m.slice) {
		for i := range c.Targets {
			var guessed chan *drive.Result
			var failed error
			if i == 1 {
				guessed = make(chan *drive.Result, 1)
				go func() {
					var r *drive.Result
					r, failed = drive.Run(ctx, guesses, drive.Options{Connections: 16, Duration: m.slice + settle})
					guessed <- r
				}()
			}
			result, err := drive.Run(ctx, anonymous, drive.Options{Connections: connections, Duration: m.slice, Settle: settle})
			if guessed != nil {
				if r := <-guessed; r != nil {
					all.Add(r)
				}
			}
			if err := errors.Join(err, failed); err != nil {
				return err
			}
			c.Targets[i].Slice = append(c.Targets[i].Slice, result)
			c.Targets[i].All.Add(result)
		}
	}
	for i := range c.Targets {
		if failed := c.Targets[i].All.Failed(); failed > 0 {
			return fmt.Errorf("%s: %d anonymous requests failed: status %v, errors %v", what, failed, c.Targets[i].All.Status, c.Targets[i].All.Errors)
		}
	}
	for name, f := range map[string]drive.Figure{"p50": drive.P50, "p99": drive.P99} {
		spread := c.Ratio(1, 0, f)
		m.add(bar{
			What: what + ", " + name + " of quiet", Unit: "times", Value: spread.Median, Spread: spread, AtMost: number(2), decimals: 2,
			Beside: fmt.Sprintf("%.0f µs of %.0f µs; guesses were answered %v", c.Spread(1, f).Median, c.Spread(0, f).Median, all.Status),
		})
	}
	return nil
}

// names measures what a million names leave behind.
func (m *measurement) names(ctx context.Context) (err error) {
	d := deployment{name: "named", reuse: true, rules: 1}
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if _, err := answer(ctx, s.address, ""); err != nil {
		return err
	}
	if err := rest(ctx, quiet); err != nil {
		return err
	}
	before, err := s.resident()
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
		// One connection shows each name once.
		result, err := drive.Run(ctx, target, drive.Options{Connections: 1, Requests: manyNames})
		if err != nil {
			return err
		}
		all.Add(result)
		now, err := s.resident()
		if err != nil {
			return err
		}
		most = max(most, now)
	}
	if err := rest(ctx, quiet); err != nil {
		return err
	}
	after, err := s.resident()
	if err != nil {
		return err
	}
	m.add(bar{
		What: fmt.Sprintf("memory that %d names take", all.Requests), Unit: "MB", Value: float64(most-before) / 1e6, AtMost: number(20), decimals: 1,
		Beside: fmt.Sprintf("at most; afterwards %.1f MB; before %.1f MB; answered %v", float64(after-before)/1e6, float64(before)/1e6, all.Status),
	})
	return nil
}
