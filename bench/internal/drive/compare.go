package drive

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Comparison is several targets in the same minutes. On a machine that others use too, two numbers taken
// one after the other compare the machine's moods; so the targets take turns in short slices, and each
// slice is compared with the first target's of the same round.
type Comparison struct {
	Targets []Compared
}

// Compared is one target of a comparison.
type Compared struct {
	Name  string
	Slice []*Result // by round
	All   Result
}

// Compare runs rounds of one slice for each target. o.Duration is that of a slice.
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
			// Nobody is always the first of a round, or always follows the same one.
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

// Spread is what a figure was over the rounds.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// Figure is one number of a slice.
type Figure func(*Result) float64

// The figures that are compared. Latencies and costs are in microseconds.
var (
	Rate Figure = (*Result).Rate
	P50  Figure = quantile(0.50)
	P90  Figure = quantile(0.90)
	P99  Figure = quantile(0.99)
	Cost Figure = func(r *Result) float64 { return float64(r.Cost()) / float64(time.Microsecond) }
)

func quantile(q float64) Figure {
	return func(r *Result) float64 { return float64(r.Latency.Quantile(q)) / float64(time.Microsecond) }
}

// Spread is a figure of target i over the rounds.
func (c *Comparison) Spread(i int, f Figure) Spread {
	var values []float64
	for _, slice := range c.Targets[i].Slice {
		values = append(values, f(slice))
	}
	return SpreadOf(values)
}

// Ratio is a figure of target i against that of target base in the same round.
func (c *Comparison) Ratio(i, base int, f Figure) Spread {
	var values []float64
	for round, slice := range c.Targets[i].Slice {
		if below := f(c.Targets[base].Slice[round]); below > 0 {
			values = append(values, f(slice)/below)
		}
	}
	return SpreadOf(values)
}

// SpreadOf sorts values and reads off their ends and their middle. Of no values it is zero.
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
