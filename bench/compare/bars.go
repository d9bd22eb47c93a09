package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

// bar is a measured value and its limit.
type bar struct {
	What     string       `json:"what"`
	Unit     string       `json:"unit,omitempty"`
	Value    float64      `json:"value"`            // compared with the limit
	Spread   drive.Spread `json:"spread"`           // over rounds, or starts
	AtLeast  *float64     `json:"at_least"`         // null: no lower limit
	AtMost   *float64     `json:"at_most"`          // null: no upper limit
	Beside   string       `json:"beside,omitempty"` // additional figures of the measurement
	decimals int
}

func (b bar) missed() bool {
	return b.AtLeast != nil && b.Value < *b.AtLeast || b.AtMost != nil && b.Value > *b.AtMost
}

func (b bar) wanted() string {
	switch {
	case b.AtLeast != nil:
		return "≥ " + b.number(*b.AtLeast)
	case b.AtMost != nil:
		return "≤ " + b.number(*b.AtMost)
	}
	return "–"
}

func (b bar) verdict() string {
	switch {
	case b.AtLeast == nil && b.AtMost == nil:
		return ""
	case b.missed():
		return "missed"
	}
	return "ok"
}

func (b bar) number(v float64) string {
	text := fmt.Sprintf("%.*f", b.decimals, v)
	if b.Unit != "" {
		text += " " + b.Unit
	}
	return text
}

// formatValue formats the value, and its spread if there is one.
func (b bar) formatValue() string {
	text := b.number(b.Value)
	if b.Spread != (drive.Spread{}) {
		text += fmt.Sprintf(" (%.*f to %.*f)", b.decimals, b.Spread.Min, b.decimals, b.Spread.Max)
	}
	return text
}

func writeTable(w io.Writer, bars []bar) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "bar\tmeasured\twanted\t\t")
	for _, b := range bars {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", b.What, b.formatValue(), b.wanted(), b.verdict(), b.Beside)
	}
	return table.Flush()
}

// writeMarkdown writes the table for bench/RESULTS.md.
func writeMarkdown(w io.Writer, bars []bar) error {
	var b strings.Builder
	b.WriteString("| bar | measured | wanted | | |\n|---|---|---|---|---|\n")
	for _, bar := range bars {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", bar.What, bar.formatValue(), bar.wanted(), bar.verdict(), bar.Beside)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeJSON(w io.Writer, bars []bar) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(bars)
}
