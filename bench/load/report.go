package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

// report is the output, as text or JSON. Durations are in microseconds.
type report struct {
	Connections int      `json:"connections"`
	Rounds      int      `json:"rounds"`
	Targets     []target `json:"targets"`
}

// target is the result of one endpoint.
type target struct {
	Name       string           `json:"name"`
	Requests   int64            `json:"requests"`
	Seconds    float64          `json:"seconds"`
	PerSecond  float64          `json:"requests_per_second"`
	Latency    latency          `json:"latency_us"`
	Status     map[int]int64    `json:"status"`
	Errors     map[string]int64 `json:"errors"`
	Reconnects int64            `json:"reconnects"`
	BytesIn    int64            `json:"bytes_in"`
	BytesOut   int64            `json:"bytes_out"`
	Failed     int64            `json:"failed"`
	Against    *ratios          `json:"against_first,omitempty"` // null for the first target
}

type latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// ratios are the figures of a target, divided by the figures of the first target in the same
// round.
type ratios struct {
	PerSecond drive.Spread `json:"requests_per_second"`
	P50       drive.Spread `json:"p50"`
	P90       drive.Spread `json:"p90"`
	P99       drive.Spread `json:"p99"`
}

func newReport(connections, rounds int, c *drive.Comparison) *report {
	r := &report{Connections: connections, Rounds: rounds}
	for i := range c.Targets {
		all := &c.Targets[i].All
		one := target{
			Name:      c.Targets[i].Name,
			Requests:  all.Requests,
			Seconds:   all.Elapsed.Seconds(),
			PerSecond: all.Rate(),
			Latency: latency{
				P50: drive.P50(all), P90: drive.P90(all), P99: drive.P99(all),
				Max: float64(all.Latency(1)) / float64(time.Microsecond),
			},
			Status:     all.Status,
			Errors:     all.Errors,
			Reconnects: all.Reconnect,
			BytesIn:    all.BytesIn,
			BytesOut:   all.BytesOut,
			Failed:     all.Failed(),
		}
		if i > 0 {
			one.Against = &ratios{
				PerSecond: c.Ratio(i, 0, drive.Rate),
				P50:       c.Ratio(i, 0, drive.P50),
				P90:       c.Ratio(i, 0, drive.P90),
				P99:       c.Ratio(i, 0, drive.P99),
			}
		}
		r.Targets = append(r.Targets, one)
	}
	return r
}

// countFailed returns how many requests of all targets had no 2xx answer.
func (r *report) countFailed() (n int64) {
	for _, t := range r.Targets {
		n += t.Failed
	}
	return n
}

func (r *report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

func (r *report) writeText(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "target\trequests/s\tp50 µs\tp90 µs\tp99 µs\tmax µs\trequests\tMB in\t")
	for _, t := range r.Targets {
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%d\t%.1f\t\n", t.Name, t.PerSecond,
			t.Latency.P50, t.Latency.P90, t.Latency.P99, t.Latency.Max, t.Requests, float64(t.BytesIn)/1e6)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, t := range r.Targets {
		for _, status := range slices.Sorted(maps.Keys(t.Status)) {
			fmt.Fprintf(w, "%s: status %d: %d\n", t.Name, status, t.Status[status])
		}
		for _, what := range slices.Sorted(maps.Keys(t.Errors)) {
			fmt.Fprintf(w, "%s: %s: %d\n", t.Name, what, t.Errors[what])
		}
		if t.Reconnects > 0 {
			fmt.Fprintf(w, "%s: connections that the server closed: %d\n", t.Name, t.Reconnects)
		}
	}
	if len(r.Targets) == 1 {
		return nil
	}

	fmt.Fprintf(w, "\nagainst %s, round by round (%d rounds): min / median / max\n", r.Targets[0].Name, r.Rounds)
	table = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "target\trequests/s\tp50\tp90\tp99\t")
	for _, t := range r.Targets[1:] {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t\n", t.Name,
			spread(t.Against.PerSecond), spread(t.Against.P50), spread(t.Against.P90), spread(t.Against.P99))
	}
	return table.Flush()
}

func spread(s drive.Spread) string {
	return fmt.Sprintf("%.2f / %.2f / %.2f", s.Min, s.Median, s.Max)
}
