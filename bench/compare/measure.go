package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

// measurement collects the bars of one run.
type measurement struct {
	settings
	programs programs
	folder   string
	keys     keys
	progress io.Writer
	bars     []bar
}

func (m *measurement) add(b bar) { m.bars = append(m.bars, b) }

// percent returns a fraction as a percentage, for a limit of a bar.
func percent(v float64) *float64 { v *= 100; return &v }

func number(v float64) *float64 { return &v }

func scaled(s drive.Spread, by float64) drive.Spread {
	return drive.Spread{Min: s.Min * by, Median: s.Median * by, Max: s.Max * by}
}

// measureSize measures the program's file.
func (m *measurement) measureSize(context.Context) error {
	file, err := os.Stat(m.programs.tidewaiter)
	if err != nil {
		return fmt.Errorf("measuring the program: %w", err)
	}
	m.add(bar{What: "static binary", Unit: "MB", Value: float64(file.Size()) / 1e6, AtMost: number(40), decimals: 1})
	return nil
}

// measureStarts measures how long servers take from start to listening. Each server starts several
// times with the same database.
func (m *measurement) measureStarts(ctx context.Context) error {
	for _, one := range []struct {
		deployment
		most float64 // ms
	}{
		{deployment{name: "start-1", reuse: true, rules: 1}, 50},
		{deployment{name: "start-many", reuse: true, rules: m.rules}, 200},
	} {
		what := fmt.Sprintf("%d %s", one.rules, plural(one.rules, "rule"))
		if err := m.startOf(ctx, one.deployment, what, one.most, "the first, with a new database"); err != nil {
			return err
		}
	}
	return nil
}

// startOf measures how long it takes to start the server of a deployment. The first start creates
// the database, so it is not part of the median. The bar shows it separately, with a label.
func (m *measurement) startOf(ctx context.Context, d deployment, what string, most float64, firstLabel string) error {
	fmt.Fprintf(m.progress, "starting with %s, %d times …\n", what, m.starts)
	var took []float64
	for range m.starts + 1 {
		s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
		if err != nil {
			return err
		}
		took = append(took, float64(s.took)/float64(time.Millisecond))
		if err := s.stop(); err != nil {
			return err
		}
	}
	spread := drive.SpreadOf(took[1:])
	m.add(bar{
		What: "start to listening, " + what, Unit: "ms",
		Value: spread.Median, Spread: spread, AtMost: number(most), decimals: 0,
		Beside: fmt.Sprintf("%s: %.0f ms", firstLabel, took[0]),
	})
	return nil
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// measureLoad starts all servers, puts them under load in turn, and reads their memory and
// journals.
func (m *measurement) measureLoad(ctx context.Context) (err error) {
	var running []*server
	defer func() {
		for _, s := range running {
			err = errors.Join(err, s.stop())
		}
	}()
	deployments := []deployment{
		{name: "signing", rules: 1},
		{name: "reusing", rules: 1, reuse: true},
		{name: "signing-many", rules: m.rules},
		{name: "reusing-many", rules: m.rules, reuse: true},
	}
	byName := map[string]*server{}
	size := 0
	for _, d := range deployments {
		s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
		if err != nil {
			return err
		}
		running = append(running, s)
		byName[d.name] = s
	}
	if err := m.measureIdle(ctx, byName); err != nil {
		return err
	}
	for _, d := range deployments {
		for _, name := range []string{"", user} {
			n, err := fetchToken(ctx, byName[d.name].address, name)
			if err != nil {
				return fmt.Errorf("requesting a token of %s before the load: %w", d.name, err)
			}
			size = max(size, n)
		}
	}
	limit, err := startLimit(ctx, m.programs.limit, m.folder, size)
	if err != nil {
		return err
	}
	running = append(running, limit)

	for _, group := range []group{
		{what: "a signature for each answer", limit: "/sign", one: "signing", many: "signing-many", least: 0.80, of: "the handler that signs"},
		{what: "with reuse", limit: "/write", one: "reusing", many: "reusing-many", least: 0.65, of: "the handler that writes"},
	} {
		if err := m.turns(ctx, group, limit, byName); err != nil {
			return err
		}
	}
	return m.measureAfterLoad(ctx, deployments, byName)
}

// fetchToken requests a token, checks the answer, and returns its length. The load generator does
// not check answers.
func fetchToken(ctx context.Context, address, name string) (int, error) {
	secret := ""
	if name != "" {
		secret = password
	}
	body, err := get(ctx, address+asked, name, secret)
	if err != nil {
		return 0, err
	}
	var a struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return 0, fmt.Errorf("reading the answer: %w", err)
	}
	if a.Token == "" || a.AccessToken != a.Token || a.ExpiresIn < 60 {
		return 0, fmt.Errorf("not a token response: %s", body)
	}
	return len(body), nil
}

// group has two deployments. Both are compared with one path of the server bench/limit, which
// gives the fastest possible answers on the machine.
type group struct {
	what, limit, of string
	one, many       string // names of deployments
	least           float64
}

// The targets of a group, in this order.
const (
	bare = iota
	anonymous
	known
	large
	varied
)

// repositories is the number of repositories that the varied target requests in turn.
const repositories = 1000

func (m *measurement) turns(ctx context.Context, g group, limit *server, byName map[string]*server) error {
	fmt.Fprintf(m.progress, "under load, %s …\n", g.what)
	one, many := byName[g.one], byName[g.many]
	var targets []*drive.Target
	for _, o := range []drive.TargetOptions{
		bare:      {Name: "limit", URL: limit.address + g.limit, Process: limit.process()},
		anonymous: {Name: "anonymous", URL: one.address + asked, Process: one.process()},
		known:     {Name: "known password", URL: one.address + asked, User: user, Password: password, Process: one.process()},
		large:     {Name: "many rules", URL: many.address + asked, Process: many.process()},
		varied:    {Name: "many repositories", URL: one.address + asked, Vary: repositories, Process: one.process()},
	} {
		target, err := drive.NewTarget(ctx, o)
		if err != nil {
			return err
		}
		targets = append(targets, target)
	}
	c, err := drive.Compare(ctx, targets, int(m.duration/m.slice), drive.Options{
		Connections: m.connections, Duration: m.slice, Settle: 200 * time.Millisecond, Rest: m.rest,
	})
	if err != nil {
		return err
	}
	for i := range c.Targets {
		if all := &c.Targets[i].All; all.Failed() > 0 {
			return fmt.Errorf("%s, %s: %d requests failed: status %v, errors %v", g.what, c.Targets[i].Name, all.Failed(), all.Status, all.Errors)
		}
	}
	ratio := func(what string, i, base int, least *float64) {
		spread := scaled(c.Ratio(i, base, drive.Rate), 100)
		result := &c.Targets[i].All
		m.add(bar{
			What: what, Unit: "%", Value: spread.Median, Spread: spread, AtLeast: least, decimals: 0,
			Beside: fmt.Sprintf("%.0f/s of %.0f/s; %.1f µs of CPU for each, and %.1f µs; p50 %.0f µs, p99 %.0f µs",
				c.Spread(i, drive.Rate).Median, c.Spread(base, drive.Rate).Median, drive.Cost(result), drive.Cost(&c.Targets[base].All),
				drive.P50(result), drive.P99(result)),
		})
	}
	ratio(g.what+", compared with "+g.of, anonymous, bare, percent(g.least))
	ratio(g.what+", known bcrypt-10 password, compared with anonymous", known, anonymous, percent(0.85))
	ratio(fmt.Sprintf("%s, %d rules, compared with one", g.what, m.rules), large, anonymous, percent(0.95))
	ratio(fmt.Sprintf("%s, %d repositories in turn, compared with one", g.what, repositories), varied, anonymous, nil)
	return nil
}

// quietTime is the pause before memory is read. In this time, the server completes the remaining
// work, notices the end of the load (after at most 10 s), and releases memory.
const quietTime = 12 * time.Second

// measureIdle measures the memory of idle servers.
func (m *measurement) measureIdle(ctx context.Context, byName map[string]*server) error {
	if err := rest(ctx, quietTime); err != nil {
		return err
	}
	if err := m.memory("resident, idle", byName["reusing"], number(40)); err != nil {
		return err
	}
	return m.memory(fmt.Sprintf("resident, idle, %d rules", m.rules), byName["reusing-many"], nil)
}

// measureAfterLoad measures how much memory the servers use after the load, and how many journal
// entries were lost.
func (m *measurement) measureAfterLoad(ctx context.Context, deployments []deployment, byName map[string]*server) error {
	if err := rest(ctx, quietTime); err != nil {
		return err
	}
	for _, d := range deployments {
		what, most := "resident after load, "+d.name, number(40)
		if d.rules > 1 {
			most = nil
		}
		if err := m.memory(what, byName[d.name], most); err != nil {
			return err
		}
	}
	for _, d := range deployments {
		lost, err := byName[d.name].count(ctx, "tidewaiter_journal_lost_total")
		if err != nil {
			return err
		}
		kept, err := byName[d.name].count(ctx, "tidewaiter_journal_entries_total")
		if err != nil {
			return err
		}
		m.add(bar{
			What: "decisions lost under load, " + d.name, Value: lost, AtMost: number(0), decimals: 0,
			Beside: fmt.Sprintf("%.0f written", kept),
		})
	}
	return nil
}

func (m *measurement) memory(what string, s *server, most *float64) error {
	bytes, err := s.residentMemory()
	if err != nil {
		return err
	}
	m.add(bar{What: what, Unit: "MB", Value: float64(bytes) / 1e6, AtMost: most, decimals: 1})
	return nil
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
