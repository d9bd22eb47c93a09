package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/rulebook"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// measureSwaps measures how reloading a large policy each second slows down anonymous requests. It
// measures two kinds of reloads: after a changed rule in the database, with unchanged files, and
// after SIGHUP, when the server reads the whole config again.
func (m *measurement) measureSwaps(ctx context.Context) (err error) {
	d := deployment{name: "swapped", reuse: true, rules: m.swapped}
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	book, err := openBook(ctx, filepath.Join(filepath.Dir(s.config), "state.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, book.close()) }()
	changing := &swapper{server: s, what: "a rule of the database changed", rules: m.swapped, change: book.change}
	reading, err := newReader(s, m.swapped)
	if err != nil {
		return err
	}
	for _, p := range []*swapper{changing, reading} {
		for _, connections := range []int{1, m.connections} {
			if err := m.swapping(ctx, s, p, connections); err != nil {
				return err
			}
		}
		spread := drive.SpreadOf(p.took)
		m.add(bar{
			What: fmt.Sprintf("%s, with %d rules under load, until it is active", p.what, m.swapped), Unit: "s",
			Value: spread.Median, Spread: spread, decimals: 2, Beside: fmt.Sprintf("%d times", len(p.took)),
		})
		if len(p.took)%2 == 1 { // back to the first policy
			if err := p.swap(ctx); err != nil {
				return err
			}
		}
	}
	if err := rest(ctx, quietTime); err != nil {
		return err
	}
	return m.memory(fmt.Sprintf("resident, %d rules, after the swaps", m.swapped), s, nil)
}

func (m *measurement) swapping(ctx context.Context, s *server, p *swapper, connections int) error {
	what := fmt.Sprintf("%d rules, %s each second, %d %s", m.swapped, p.what, connections, plural(connections, "connection"))
	fmt.Fprintf(m.progress, "%s …\n", what)
	target, err := drive.NewTarget(ctx, drive.TargetOptions{Name: "anonymous", URL: s.address + asked, Process: s.process()})
	if err != nil {
		return err
	}
	turns := []func(context.Context) (*drive.Result, error){
		nil,
		func(ctx context.Context) (*drive.Result, error) { return nil, occupy(ctx, m.slice+settleTime) },
		func(ctx context.Context) (*drive.Result, error) { return nil, p.run(ctx, m.slice+settleTime) },
	}
	const still, busy, swapped = 0, 1, 2
	c := &drive.Comparison{Targets: make([]drive.Compared, len(turns))}
	for range max(1, int(m.duration/m.slice)) {
		for i, beside := range turns {
			result, _, err := m.measureTurn(ctx, target, connections, beside)
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

// swapper switches a server between two policies. The second policy has one rule more than the
// first.
type swapper struct {
	*server
	what   string
	change func(ctx context.Context, more bool) error // adds or removes the rule
	rules  int
	swaps  int
	took   []float64 // seconds, from the change until the policy was active
}

// newReader returns a swapper that changes the config and makes the server reread it.
func newReader(s *server, rules int) (*swapper, error) {
	text, err := os.ReadFile(s.config)
	if err != nil {
		return nil, fmt.Errorf("reading the config again: %w", err)
	}
	longer := append(slices.Clone(text), unrelatedRule(4*rules)...)
	change := func(_ context.Context, more bool) error {
		next, written := text, s.config+".new"
		if more {
			next = longer
		}
		if err := os.WriteFile(written, next, 0o600); err != nil {
			return fmt.Errorf("writing the next policy: %w", err)
		}
		if err := os.Rename(written, s.config); err != nil {
			return fmt.Errorf("writing the next policy: %w", err)
		}
		if err := s.command.Process.Signal(syscall.SIGHUP); err != nil {
			return fmt.Errorf("signaling the server to reread its config: %w", err)
		}
		return nil
	}
	return &swapper{server: s, what: "the config reread", rules: rules, change: change}, nil
}

// book is the rulebook in a server's database. This process opens the database itself, and does
// not go through the server.
type book struct {
	db       *store.DB
	journal  *journal.Journal
	rulebook *rulebook.Rulebook
}

func openBook(ctx context.Context, file string) (*book, error) {
	db, err := store.Open(ctx, "sqlite:"+file)
	if err != nil {
		return nil, err
	}
	j, err := journal.New(db, journal.Options{Now: time.Now})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	b := &book{db: db, journal: j}
	b.rulebook, err = rulebook.New(rulebook.Options{DB: db, Journal: j}, rulebook.Files{})
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *book) close() error {
	return errors.Join(b.journal.Close(context.Background()), b.db.Close())
}

func (b *book) change(ctx context.Context, more bool) error {
	by, name := admin.Operator("bench"), "one more"
	if !more {
		return b.rulebook.DeleteRule(ctx, by, name, 0)
	}
	_, err := b.rulebook.AddRule(ctx, by, rulebook.Content{
		Name: name, Subjects: []string{"group:one-more"}, Repositories: []string{"one-more/**"}, Actions: []string{"pull"},
	})
	return err
}

// run swaps the policies at each full second. If a swap takes longer than a second, the next
// one follows as soon as the policy is active.
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
	begin := time.Now()
	if err := p.change(ctx, version == 1); err != nil {
		return err
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
			return fmt.Errorf("a policy is not active after %s", patience)
		}
		if err := rest(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
