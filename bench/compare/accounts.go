package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// compareCredentials compares requests that have credentials with anonymous requests. A cached
// credential needs no hash and no query, even with a million accounts.
func (m *measurement) compareCredentials(ctx context.Context) error {
	for _, n := range []int{2, m.accounts} {
		d := deployment{name: fmt.Sprintf("accounts-%d", n), rules: 1, accounts: true, users: noUsers}
		shown, err := m.startWithAccounts(ctx, d)
		if err != nil {
			return err
		}
		if n > 2 {
			fmt.Fprintf(m.progress, "creating %d accounts …\n", n)
			if err := fill(ctx, "sqlite:"+filepath.Join(m.folder, d.name, "state.db"), n); err != nil {
				return err
			}
		}
		what := fmt.Sprintf("%d accounts", n)
		if err := m.startOf(ctx, d, what, 100, "the first after creating them"); err != nil {
			return err
		}
		for _, d.reuse = range []bool{false, true} {
			if err := m.compareCached(ctx, d, what, shown); err != nil {
				return err
			}
		}
	}
	return nil
}

// credentials are an access token of a user, and the name and secret of a robot.
type credentials struct {
	token, robot, secret string
}

// startWithAccounts starts a server and creates a user and a robot with the commands of
// Tidewaiter. It returns the credentials of both.
func (m *measurement) startWithAccounts(ctx context.Context, d deployment) (c credentials, err error) {
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	return c, c.make(ctx, s)
}

func (c *credentials) make(ctx context.Context, s *server) (err error) {
	c.robot = "robot+ci"
	if _, err = s.runCommand(ctx, password+"\n", "user", "add", user, "--password-stdin"); err != nil {
		return err
	}
	if c.token, err = s.runCommand(ctx, "", "token", "create", "--user", user, "--name", "laptop"); err != nil {
		return err
	}
	c.secret, err = s.runCommand(ctx, "", "robot", "add", "ci")
	return err
}

// fill adds n accounts to a database, each with a token. It uses SQL in one transaction, because
// the commands would take hours.
func fill(ctx context.Context, url string, n int) (err error) {
	db, err := store.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Write(ctx, "", func(tx *sql.Tx) error {
		// These accounts have no hash, so nobody can sign in to them.
		for _, rows := range []string{
			`accounts (id, kind, name, version, created, changed, expires, disabled, hash)
			SELECT printf('%08x-0000-7000-8000-000000000000', n), 'user', 'person-' || n, 1, 1, 1, 0, 0, ''`,
			`account_tokens (id, hash, purpose, owner_kind, owner_source, owner_id, owner_name, name, limits,
				registry, client, parent, created, expires, used, used_from)
			SELECT printf('%08x-0000-7000-9000-000000000000', n), randomblob(32), 'access', 'user', 'accounts',
				printf('%08x-0000-7000-8000-000000000000', n), 'person-' || n, 'laptop', '', '', '', '', 1, 0, 0, ''`,
		} {
			rows = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1) INSERT INTO " + rows + " FROM numbers"
			if _, err := tx.ExecContext(ctx, rows, n); err != nil {
				return fmt.Errorf("filling the database: %w", err)
			}
		}
		return nil
	})
}

// compareCached compares requests that present cached credentials with anonymous requests. The
// kinds of requests take turns.
func (m *measurement) compareCached(ctx context.Context, d deployment, what string, c credentials) (err error) {
	if d.reuse {
		what += ", with reuse"
	} else {
		what += ", a signature for each answer"
	}
	fmt.Fprintf(m.progress, "under load, %s …\n", what)
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	refresh, err := refreshToken(ctx, s.address)
	if err != nil {
		return err
	}
	var targets []*drive.Target
	for _, o := range c.targets(s, refresh) {
		target, err := drive.NewTarget(ctx, o)
		if err != nil {
			return err
		}
		targets = append(targets, target)
	}
	compared, err := drive.Compare(ctx, targets, int(m.duration/m.slice), drive.Options{
		Connections: m.connections, Duration: m.slice, Settle: 200 * time.Millisecond, Rest: m.rest,
	})
	if err != nil {
		return err
	}
	for i := range compared.Targets {
		t := &compared.Targets[i]
		if t.All.Failed() > 0 {
			return fmt.Errorf("%s, %s: %d requests failed: status %v, errors %v", what, t.Name, t.All.Failed(), t.All.Status, t.All.Errors)
		}
		if i == 0 {
			continue
		}
		spread := scaled(compared.Ratio(i, 0, drive.Rate), 100)
		m.add(bar{
			What: fmt.Sprintf("%s, %s, compared with anonymous", what, t.Name), Unit: "%", Value: spread.Median, Spread: spread, AtLeast: percent(0.85),
			Beside: fmt.Sprintf("%.0f/s of %.0f/s; %.1f µs of CPU for each, and %.1f µs",
				compared.Spread(i, drive.Rate).Median, compared.Spread(0, drive.Rate).Median, drive.Cost(&t.All), drive.Cost(&compared.Targets[0].All)),
		})
	}
	return nil
}

// targets returns a target with anonymous requests, and one target for each kind of credential.
func (c *credentials) targets(s *server, refresh string) []drive.TargetOptions {
	all := []drive.TargetOptions{
		{Name: "nobody"},
		{Name: "a password", User: user, Password: password},
		{Name: "an access token", User: user, Password: c.token},
		{Name: "a robot's secret", User: c.robot, Password: c.secret},
		{Name: "a refresh token", Post: true},
	}
	for i := range all {
		o := &all[i]
		o.URL, o.Process = s.address+asked, s.process()
		if o.Post {
			o.URL += "&grant_type=refresh_token&refresh_token=" + url.QueryEscape(refresh)
		}
	}
	return all
}

// refreshToken signs in like docker and returns a refresh token.
func refreshToken(ctx context.Context, address string) (string, error) {
	body, err := get(ctx, address+asked+"&offline_token=true&client_id=tidewaiter-load", user, password)
	if err != nil {
		return "", err
	}
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.RefreshToken == "" {
		return "", fmt.Errorf("requesting a refresh token: %w: %s", err, body)
	}
	return answer.RefreshToken, nil
}
