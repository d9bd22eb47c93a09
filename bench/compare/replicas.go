package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

// measureReplicas measures two servers on one PostgreSQL: how fast both notice revocations, and
// what clients get while the database is down.
func (m *measurement) measureReplicas(ctx context.Context) (err error) {
	p, err := newPostgres(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.remove()) }()
	var both []*server
	for _, name := range []string{"replica-1", "replica-2"} {
		d := deployment{name: name, reuse: true, rules: 1, accounts: true, users: noUsers, database: p.url()}
		s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		both = append(both, s)
	}
	var c credentials
	if err := c.make(ctx, both[0]); err != nil {
		return err
	}
	if err := m.measureRevocations(ctx, both); err != nil {
		return err
	}
	if err := m.measureRuleChanges(ctx, both); err != nil {
		return err
	}
	return m.measureOutage(ctx, p, both, c)
}

// measureRevocations revokes tokens and disables users repeatedly. It measures the time from the
// start of a command until both servers refuse the token.
func (m *measurement) measureRevocations(ctx context.Context, both []*server) error {
	for what, do := range map[string]func(who, token string) []string{
		"revoking":  func(who, token string) []string { return []string{"token", "revoke", "--user", who} },
		"disabling": func(who, token string) []string { return []string{"user", "disable", who} },
	} {
		fmt.Fprintf(m.progress, "%s, with two replicas …\n", what)
		var took []float64
		for i := range 10 {
			who := fmt.Sprintf("%s-%d", what, i)
			if _, err := both[0].runCommand(ctx, "", "user", "add", who, "--no-password"); err != nil {
				return err
			}
			token, err := both[0].runCommand(ctx, "", "token", "create", "--user", who, "--name", "laptop")
			if err != nil {
				return err
			}
			for _, s := range both { // fill the caches
				if _, err := get(ctx, s.address+asked, who, token); err != nil {
					return err
				}
			}
			begin := time.Now() // before the command, so that the result is not too short
			if _, err := both[i%2].runCommand(ctx, "", do(who, token)...); err != nil {
				return err
			}
			for _, s := range both {
				if err := awaitRefusal(ctx, s.address, who, token, http.StatusUnauthorized); err != nil {
					return err
				}
			}
			took = append(took, time.Since(begin).Seconds())
		}
		spread := drive.SpreadOf(took)
		m.add(bar{
			What: what + ", until no replica issues a token", Unit: "s", Value: spread.Max, Spread: spread, AtMost: number(2), decimals: 2,
			Beside: "from the start of the command; longest of ten",
		})
	}
	return nil
}

// measureRuleChanges adds, changes and deletes rules by commands, which use the configs of the two
// servers in turn. It measures the time until both servers use the new policy.
func (m *measurement) measureRuleChanges(ctx context.Context, both []*server) error {
	fmt.Fprintln(m.progress, "changing rules, with two replicas …")
	allowing := []string{"--subject", "user:" + user, "--repository", "ruled/**", "--actions", "pull"}
	denying := []string{"--deny", "--repository", "ruled/**", "--actions", "pull"}
	var versions [2]string
	for i, s := range both {
		var err error
		if versions[i], err = s.version(ctx); err != nil {
			return err
		}
	}
	if versions[0] != versions[1] {
		return fmt.Errorf("two replicas with the same files have the policies %s and %s", versions[0], versions[1])
	}
	var took []float64
	for i := range 10 {
		for n, do := range [][]string{
			append([]string{"rule", "add", "ruled"}, allowing...),
			append([]string{"rule", "set", "ruled"}, denying...),
			{"rule", "delete", "ruled"},
		} {
			before, err := both[0].version(ctx)
			if err != nil {
				return err
			}
			begin := time.Now() // before the command, so that the result is not too short
			if _, err := both[(i+n)%2].runCommand(ctx, "", do...); err != nil {
				return err
			}
			for _, s := range both { // both had the same version before
				if err := s.awaitNewVersion(ctx, before); err != nil {
					return err
				}
			}
			took = append(took, time.Since(begin).Seconds())
		}
	}
	spread := drive.SpreadOf(took)
	m.add(bar{
		What: "adding, changing or deleting a rule, until both replicas use it", Unit: "s", Value: spread.Max, Spread: spread, AtMost: number(2), decimals: 2,
		Beside: fmt.Sprintf("from the start of the command; longest of %d", len(took)),
	})
	return nil
}

// awaitNewVersion waits until the version of the active policy is no longer the given version.
func (s *server) awaitNewVersion(ctx context.Context, version string) error {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if now, err := s.version(ctx); err != nil || now != version {
			return err
		}
		if err := rest(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("a policy is not active after %s", patience)
}

// version returns the version of the active policy.
func (s *server) version(ctx context.Context) (string, error) {
	text, err := get(ctx, s.metrics+"/metrics", "", "")
	if err != nil {
		return "", err
	}
	_, rest, found := strings.Cut(string(text), `tidewaiter_policy_info{version="`)
	version, _, ended := strings.Cut(rest, `"`)
	if !found || !ended {
		return "", errors.New("the metrics have no version of the policy")
	}
	return version, nil
}

// awaitRefusal sends requests until an answer is not 200, and requires that this answer has the
// wanted status.
func awaitRefusal(ctx context.Context, address, who, secret string, want int) error {
	for {
		status, _, err := requestToken(ctx, address, who, secret)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			if status != want {
				return fmt.Errorf("the answer to %s has status %d, not %d", who, status, want)
			}
			return nil
		}
		if err := rest(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// requestToken sends one request and returns the status and Retry-After.
func requestToken(ctx context.Context, address, who, secret string) (status int, after string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+asked, nil)
	if err != nil {
		return 0, "", err
	}
	request.SetBasicAuth(who, secret)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header.Get("Retry-After"), errors.Join(err, answer.Body.Close())
}

// downtime is how long the database is down.
const downtime = 30 * time.Second

// measureOutage stops the database while the servers are under load.
func (m *measurement) measureOutage(ctx context.Context, p *postgres, both []*server, c credentials) error {
	fmt.Fprintf(m.progress, "stopping PostgreSQL for %s under load …\n", downtime)
	// The credential of ann is cached. The credential of the robot is not.
	warm, cold := both[0].address, both[1].address
	target, err := drive.NewTarget(ctx, drive.TargetOptions{URL: warm + asked, User: user, Password: c.token})
	if err != nil {
		return err
	}
	if _, err := get(ctx, warm+asked, user, c.token); err != nil {
		return err
	}
	// Wait until both servers have noticed the last changes and ann's credential is cached
	// again.
	if err := rest(ctx, 2*time.Second); err != nil {
		return err
	}
	load := make(chan *drive.Result, 1)
	var failed error
	go func() {
		var r *drive.Result
		r, failed = drive.Run(ctx, target, drive.Options{Connections: m.connections, Settle: time.Second, Duration: downtime + 12*time.Second})
		load <- r
	}()
	if err := rest(ctx, 3*time.Second); err != nil {
		return err
	}
	if err := p.stop(ctx); err != nil {
		return err
	}
	answers := make(map[string]int) // of requests that are not cached
	var longest time.Duration
	for end := time.Now().Add(downtime); time.Now().Before(end); {
		for _, one := range []struct{ who, secret string }{{c.robot, c.secret}, {user, "a wrong password"}, {user, password}} {
			begin := time.Now()
			status, after, err := requestToken(ctx, cold, one.who, one.secret)
			if err != nil {
				return err
			}
			longest = max(longest, time.Since(begin))
			if status == http.StatusServiceUnavailable && after != "" {
				answers["503 with Retry-After"]++
			} else {
				answers[fmt.Sprintf("%d to %s", status, one.who)]++
			}
		}
		if err := rest(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	back := time.Now()
	var well time.Duration
	for {
		status, _, err := requestToken(ctx, cold, c.robot, c.secret)
		if err != nil {
			return err
		}
		if status == http.StatusOK {
			well = time.Since(back)
			break
		}
		if time.Since(back) > patience {
			return fmt.Errorf("a robot is still answered %d, %s after the database was back", status, patience)
		}
		if err := rest(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	for _, one := range []struct {
		who, secret string
		want        int
	}{{user, password, 200}, {user, c.token, 200}, {c.robot, c.secret, 200}, {user, "a wrong password", 401}, {c.robot, c.token, 401}} {
		for _, s := range both {
			if status, _, err := requestToken(ctx, s.address, one.who, one.secret); err != nil || status != one.want {
				return fmt.Errorf("after the outage, the answer to %s has status %d, not %d: %w", one.who, status, one.want, err)
			}
		}
	}
	r := <-load
	if failed != nil {
		return failed
	}
	lost, err := both[0].count(ctx, "tidewaiter_journal_lost_total")
	if err != nil {
		return err
	}
	others := 0
	for answer, n := range answers {
		if answer != "503 with Retry-After" {
			others += n
		}
	}
	m.add(bar{
		What: fmt.Sprintf("PostgreSQL down for %s: cached requests that failed", downtime), Value: float64(r.Failed()), AtMost: number(0),
		Beside: fmt.Sprintf("%.0f/s; p99 %.0f µs; answered %v; %.0f decisions lost and counted", r.Rate(), drive.P99(r), r.Status, lost),
	})
	m.add(bar{
		What: "uncached requests whose answer was not a 503 with Retry-After", Value: float64(others), AtMost: number(0),
		Beside: fmt.Sprintf("%v; longest %s", answers, longest.Round(time.Millisecond)),
	})
	m.add(bar{What: "from the return of PostgreSQL until an uncached robot gets a token", Unit: "s", Value: well.Seconds(), decimals: 2})
	return nil
}
