package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

// swaps measures what anonymous requests notice of a large policy that is read again each second: the whole config,
// by SIGHUP.
func (m *measurement) swaps(ctx context.Context) (err error) {
	d := deployment{name: "swapped", reuse: true, rules: m.swapped}
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	p, err := newSwapper(s, m.swapped)
	if err != nil {
		return err
	}
	for _, connections := range []int{1, m.connections} {
		if err := m.swapping(ctx, s, p, connections); err != nil {
			return err
		}
	}
	spread := drive.SpreadOf(p.took)
	m.add(bar{
		What: fmt.Sprintf("reading %d rules again under load, until they are in force", m.swapped), Unit: "s",
		Value: spread.Median, Spread: spread, decimals: 2, Beside: fmt.Sprintf("%d times", len(p.took)),
	})
	if err := rest(ctx, quiet); err != nil {
		return err
	}
	return m.memory(fmt.Sprintf("resident, %d rules, after the swaps", m.swapped), s, nil)
}

func (m *measurement) swapping(ctx context.Context, s *server, p *swapper, connections int) error {
	what := fmt.Sprintf("%d rules read again each second, %d %s", m.swapped, connections, plural(connections, "connection"))
	fmt.Fprintf(m.progress, "%s …\n", what)
	target, err := drive.NewTarget(ctx, drive.TargetOptions{Name: "anonymous", URL: s.address + asked, Process: s.process()})
	if err != nil {
		return err
	}
	turns := []func(context.Context) (*drive.Result, error){
		nil,
		func(ctx context.Context) (*drive.Result, error) { return nil, occupy(ctx, m.slice+settle) },
		func(ctx context.Context) (*drive.Result, error) { return nil, p.run(ctx, m.slice+settle) },
	}
	const still, busy, swapped = 0, 1, 2
	c := &drive.Comparison{Targets: make([]drive.Compared, len(turns))}
	for range max(1, int(m.duration/m.slice)) {
		for i, beside := range turns {
			result, _, err := m.turn(ctx, target, connections, beside)
			if err != nil {
				return err
			}
			c.Targets[i].Slice = append(c.Targets[i].Slice, result)
			c.Targets[i].All.Add(result)
			if err := rest(ctx, m.rest); err != nil {
				return err
			}
		}
	}
	for i := range c.Targets {
		if all := &c.Targets[i].All; all.Failed() > 0 {
			return fmt.Errorf("%s: %d requests failed: status %v, errors %v", what, all.Failed(), all.Status, all.Errors)
		}
	}
	for _, figure := range []struct {
		name string
		of   drive.Figure
		most *float64
	}{{"rate", drive.Rate, nil}, {"p50", drive.P50, number(2)}, {"p99", drive.P99, number(2)}} {
		spread := c.Ratio(swapped, still, figure.of)
		m.add(bar{
			What: what + ", " + figure.name + " of quiet", Unit: "times", Value: spread.Median, Spread: spread, AtMost: figure.most, decimals: 2,
			Beside: fmt.Sprintf("%.0f of %.0f; with a busy core instead %.2f times",
				c.Spread(swapped, figure.of).Median, c.Spread(still, figure.of).Median, c.Ratio(busy, still, figure.of).Median),
		})
	}
	return nil
}

// swapper gives a server two policies in turn, the second of which has one rule more.
type swapper struct {
	*server
	versions [2][]byte
	rules    int
	swaps    int
	took     []float64 // seconds, from the signal until the policy was in force
}

func newSwapper(s *server, rules int) (*swapper, error) {
	text, err := os.ReadFile(s.config)
	if err != nil {
		return nil, fmt.Errorf("reading the config again: %w", err)
	}
	return &swapper{server: s, rules: rules, versions: [2][]byte{text, append(slices.Clone(text), other(4*rules)...)}}, nil
}

// run swaps at each full second, or as soon as the last one is in force if that takes longer.
func (p *swapper) run(ctx context.Context, d time.Duration) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := p.swap(ctx); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *swapper) swap(ctx context.Context) error {
	p.swaps++
	version := p.swaps % 2
	written := p.config + ".new"
	if err := os.WriteFile(written, p.versions[version], 0o600); err != nil {
		return fmt.Errorf("writing the next policy: %w", err)
	}
	if err := os.Rename(written, p.config); err != nil {
		return fmt.Errorf("writing the next policy: %w", err)
	}
	begin := time.Now()
	if err := p.command.Process.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("asking the server to read its config again: %w", err)
	}
	for {
		rules, err := p.count(ctx, "tidewaiter_policy_rules")
		if err != nil {
			return err
		}
		if int(rules) == p.rules+version {
			p.took = append(p.took, time.Since(begin).Seconds())
			return nil
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("a policy is not in force after %s", patience)
		}
		if err := rest(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
