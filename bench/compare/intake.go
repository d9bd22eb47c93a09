package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

// measureIntake measures how fast events of registries are recorded, compared with a handler that
// only reads the body. Each sender posts one event at a time, like a registry.
func (m *measurement) measureIntake(ctx context.Context) (err error) {
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, deployment{name: "intake", rules: 1}, m.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	limit, err := startLimit(ctx, m.programs.limit, m.folder, 2300)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, limit.stop()) }()

	var targets []*drive.Target
	for _, o := range []drive.TargetOptions{
		{Name: "limit", URL: limit.address + "/read", Process: limit.process()},
		{Name: "events", URL: s.address + "/notifications", Process: s.process()},
	} {
		o.Event, o.Headers = true, []string{"Authorization: Bearer " + secret}
		target, err := drive.NewTarget(ctx, o)
		if err != nil {
			return err
		}
		targets = append(targets, target)
	}
	for _, one := range []struct {
		senders     int
		rate        float64 // events a second, at least
		cost        float64 // microseconds of processor time of an event, at most
		p99         time.Duration
		ofTheReader float64
	}{
		{senders: 128, rate: 10_000, cost: 120, ofTheReader: 0.40},
		{senders: 32, rate: 8_000, cost: 120},
		{senders: 1, rate: 1_200, p99: 3 * time.Millisecond},
	} {
		fmt.Fprintf(m.progress, "events from %d %s …\n", one.senders, plural(one.senders, "sender"))
		c, err := drive.Compare(ctx, targets, int(m.duration/m.slice), drive.Options{
			Connections: one.senders, Duration: m.slice, Settle: 200 * time.Millisecond, Rest: m.rest,
		})
		if err != nil {
			return err
		}
		all := &c.Targets[1].All
		if all.Failed() > 0 {
			return fmt.Errorf("events: %d requests failed: status %v, errors %v", all.Failed(), all.Status, all.Errors)
		}
		what := fmt.Sprintf("events of %d %s", one.senders, plural(one.senders, "sender"))
		rate, ratio := c.Spread(1, drive.Rate), scaled(c.Ratio(1, 0, drive.Rate), 100)
		m.add(bar{What: what, Unit: "/s", Value: rate.Median, Spread: rate, AtLeast: number(one.rate)})
		if one.cost > 0 {
			m.add(bar{What: what + ", processor time of each", Unit: "µs", Value: drive.Cost(all), AtMost: number(one.cost), decimals: 1})
		}
		if one.p99 > 0 {
			p99 := drive.P99(all)
			m.add(bar{What: what + ", p99", Unit: "µs", Value: p99, AtMost: number(float64(one.p99) / float64(time.Microsecond))})
		}
		b := bar{
			What: what + ", compared with a handler that reads the body", Unit: "%", Value: ratio.Median, Spread: ratio,
			Beside: fmt.Sprintf("%.0f/s; p50 %.0f µs, p99 %.0f µs", c.Spread(0, drive.Rate).Median, drive.P50(all), drive.P99(all)),
		}
		if one.ofTheReader > 0 {
			b.AtLeast = percent(one.ofTheReader)
		}
		m.add(b)
	}
	return nil
}
