package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

// measureRecording measures the cost of recording decisions: the extra processor time of an answer,
// in percent of its processor time in a program without recording. The cost includes the journal,
// its tree and its index. It does not include log lines, because neither server writes them.
func (m *measurement) measureRecording(ctx context.Context) error {
	unrecorded := filepath.Join(m.folder, "unrecorded")
	if err := buildUnrecorded(ctx, m.folder, unrecorded); err != nil {
		return err
	}
	for _, one := range []struct {
		what, outcome string
		reuse         bool
		most          float64 // percent
	}{
		{"a signature for each answer", "signed", false, 7},
		{"with reuse", "reused", true, 15},
	} {
		if err := m.recordingOf(ctx, unrecorded, one.what, one.outcome, one.reuse, one.most); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurement) recordingOf(ctx context.Context, unrecorded, what, outcome string, reuse bool, most float64) (err error) {
	fmt.Fprintf(m.progress, "with and without recording, %s …\n", what)
	var servers []*server
	var targets []*drive.Target
	for _, one := range []struct{ name, program string }{{"unrecorded", unrecorded}, {"recorded", m.programs.tidewaiter}} {
		s, err := startTidewaiter(ctx, one.program, m.folder, deployment{name: one.name + "-" + outcome, rules: 1, reuse: reuse, quiet: true}, m.keys)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		target, err := drive.NewTarget(ctx, drive.TargetOptions{Name: one.name, URL: s.address + asked, Process: s.process()})
		if err != nil {
			return err
		}
		servers, targets = append(servers, s), append(targets, target)
	}
	before, err := processorTimes(servers)
	if err != nil {
		return err
	}
	c, err := drive.Compare(ctx, targets, int(m.duration/m.slice), drive.Options{
		Connections: m.connections, Duration: m.slice, Settle: 200 * time.Millisecond, Rest: m.rest,
	})
	if err != nil {
		return err
	}
	began := time.Now()
	if err := awaitIndex(ctx, servers[1]); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := processorTimes(servers)
	if err != nil {
		return err
	}
	var answers, each [2]float64 // number, and processor time in microseconds
	for i, s := range servers {
		if answers[i], err = s.count(ctx, fmt.Sprintf("tidewaiter_token_requests_total{outcome=%q}", outcome)); err != nil {
			return err
		}
		each[i] = float64((after[i] - before[i]).Microseconds()) / answers[i]
	}
	bare, all := &c.Targets[0].All, &c.Targets[1].All
	m.add(bar{
		What: "recording, " + what + ", processor time more", Unit: "%", Value: 100 * (each[1]/each[0] - 1), AtMost: number(most), decimals: 1,
		Beside: fmt.Sprintf("%.1f µs for each, and %.1f µs; indexed %.1f s after the load", each[1], each[0], took.Seconds()),
	})
	m.add(bar{
		What: "recording, " + what + ", the same under load alone", Unit: "%", Value: 100 * (drive.Cost(all)/drive.Cost(bare) - 1), decimals: 1,
		Beside: fmt.Sprintf("%.0f/s of %.0f/s", c.Spread(1, drive.Rate).Median, c.Spread(0, drive.Rate).Median),
	})
	return nil
}

// processorTimes returns the processor times that servers have used.
func processorTimes(servers []*server) (all []time.Duration, err error) {
	for _, s := range servers {
		t, err := drive.Usage(s.process())
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// awaitIndex waits until a server has indexed all of its journal except the last group of entries.
func awaitIndex(ctx context.Context, s *server) error {
	for {
		behind, err := s.count(ctx, `tidewaiter_projection_behind{projection="search"}`)
		if err != nil || behind < 512 {
			return err
		}
		if err := rest(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// buildUnrecorded builds a Tidewaiter that records no decisions.
func buildUnrecorded(ctx context.Context, folder, to string) error {
	main, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/tidewaiter/tidewaiter").Output()
	if err != nil {
		return fmt.Errorf("finding the main module: %w", err)
	}
	file := filepath.Join(strings.TrimSpace(string(main)), "internal", "journal", "journal.go")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const begin = "func (j *Journal) Record(entry Entry) error {\n"
	changed := bytes.Replace(text, []byte(begin), []byte(begin+"\tif j != nil {\n\t\treturn nil\n\t}\n"), 1)
	if bytes.Equal(changed, text) {
		return fmt.Errorf("%s has no %q", file, begin)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{file: filepath.Join(folder, "journal.go")}})
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(folder, "journal.go"), changed, 0o600),
			os.WriteFile(filepath.Join(folder, "overlay.json"), overlay, 0o600))
	}
	if err != nil {
		return err
	}
	return build(ctx, "cmd/tidewaiter", to, "-overlay", filepath.Join(folder, "overlay.json"))
}
