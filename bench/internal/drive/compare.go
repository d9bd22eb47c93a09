package drive

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Comparison is the result of measuring several targets in turn. Other load on the machine changes
// over time, so two separate measurements are not comparable. Instead, the targets are measured in
// turn, in short slices. Each slice is compared with the first target's slice of the same round.
type Comparison struct {
	Targets []Compared
}

// Compared has the results of one target of a Comparison.
type Compared struct {
	Name  string
	Slice []*Result // by round
	All   Result
}

// Compare runs rounds of one slice per target. o.Duration is the duration of one slice.
func Compare(ctx context.Context, targets []*Target, rounds int, o Options) (*Comparison, error) {
	if len(targets) == 0 || rounds < 1 {
		return nil, errors.New("nothing to compare")
	}
	c := &Comparison{Targets: make([]Compared, len(targets))}
	for i, t := range targets {
		c.Targets[i].Name = t.Name
	}
	for round := range rounds {
		for turn := range targets {
			// The order changes in each round, so that each target is first in some rounds and
			// follows different targets.
			i := turn
			if round%2 == 1 {
				i = len(targets) - 1 - turn
			}
			result, err := Run(ctx, targets[i], o)
			if err != nil {
				return nil, err
			}
			c.Targets[i].Slice = append(c.Targets[i].Slice, result)
			c.Targets[i].All.Add(result)
		}
	}
	return c, nil
}

// Spread is the distribution of a figure over the rounds.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// Figure selects one number from the result of a slice.
type Figure func(*Result) float64

// The figures to compare. Latencies and costs are in microseconds.
var (
	Rate Figure = (*Result).Rate
	P50  Figure = quantile(0.50)
	P90  Figure = quantile(0.90)
	P99  Figure = quantile(0.99)
	Cost Figure = func(r *Result) float64 { return float64(r.Cost()) / float64(time.Microsecond) }
)

func quantile(q float64) Figure {
	return func(r *Result) float64 { return float64(r.Latency(q)) / float64(time.Microsecond) }
}

// Spread returns the spread of a figure of target i over the rounds.
func (c *Comparison) Spread(i int, f Figure) Spread {
	var values []float64
	for _, slice := range c.Targets[i].Slice {
		values = append(values, f(slice))
	}
	return SpreadOf(values)
}

// Ratio divides, in each round, a figure of target i by the same figure of target base, and
// returns the spread of these ratios.
func (c *Comparison) Ratio(i, base int, f Figure) Spread {
	var values []float64
	for round, slice := range c.Targets[i].Slice {
		if below := f(c.Targets[base].Slice[round]); below > 0 {
			values = append(values, f(slice)/below)
		}
	}
	return SpreadOf(values)
}

// SpreadOf sorts the given values and returns their minimum, median and maximum. The Spread of no
// values is zero.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	values = slices.Sorted(slices.Values(values))
	middle := len(values) / 2
	median := values[middle]
	if len(values)%2 == 0 {
		median = (values[middle-1] + median) / 2
	}
	return Spread{Min: values[0], Median: median, Max: values[len(values)-1]}
}
