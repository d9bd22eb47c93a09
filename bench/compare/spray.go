package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
)

// The kinds of addresses; see networkAddress.
const (
	sprayPlaces  = 16
	peoplePlaces = 32
	guessPlaces  = 48
)

// spraySettles is how long a flood runs before the first other user signs in.
const spraySettles = 5 * time.Second

// sprayCase is a flood of wrong passwords, each connection from its own address.
type sprayCase struct {
	what  string
	names func(connection, attempt int) string
	// If known is true, the other users have signed in from their addresses before the flood,
	// and the server was restarted after these sign-ins.
	known bool
}

func sprayCases(connections int) []sprayCase {
	return []sprayCase{
		{what: "two names", names: func(c, _ int) string { return fmt.Sprint("name-", c%2) }},
		{what: fmt.Sprintf("%d names that exist, known places", connections), names: func(c, _ int) string { return fmt.Sprint("name-", c) }, known: true},
		{what: "a new unknown name each time", names: func(c, n int) string { return fmt.Sprintf("nobody-%d-%d", c, n) }},
	}
}

// measureSpray measures the first sign-ins of other users, while 512 connections from 512
// addresses send wrong passwords.
func (m *measurement) measureSpray(ctx context.Context) error {
	const connections, people = 512, 20
	for i, c := range sprayCases(connections) {
		if err := m.besideSpray(ctx, fmt.Sprint("spray-", i), c, connections, people, spraySettles); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurement) besideSpray(ctx context.Context, name string, c sprayCase, connections, people int, settles time.Duration) (err error) {
	fmt.Fprintf(m.progress, "during a flood from %d connections and addresses, %s …\n", connections, c.what)
	d := deployment{name: name, reuse: true, rules: 1}
	if d.users, err = sprayUsers(m.folder, connections, people); err != nil {
		return err
	}
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	visitors := make([]*visitor, people)
	for i := range visitors {
		visitors[i] = newVisitor(networkAddress(peoplePlaces, i))
		defer visitors[i].close()
	}
	if c.known {
		for i, v := range visitors {
			if status, _, err := v.signIn(ctx, s.address, person(i), password, noProxy); err != nil || status != http.StatusOK {
				return fmt.Errorf("the first sign-in of %s: status %d: %w", person(i), status, err)
			}
		}
		if s, err = m.restart(ctx, s, d); err != nil {
			return err
		}
	}
	flooding, stop := context.WithCancel(ctx)
	flood := startSpray(flooding, s.address, c, connections)
	defer func() { stop(); flood.wait() }()
	if err := rest(ctx, settles); err != nil {
		return err
	}
	var before, after [2]float64
	counters := [2]string{"tidewaiter_password_hashes_total", "tidewaiter_password_hashes_skipped_total"}
	for i, counter := range counters {
		if before[i], err = s.count(ctx, counter); err != nil {
			return err
		}
	}
	began := time.Now()
	var took []float64
	statuses := map[int]int{}
	for i, v := range visitors {
		status, wait, err := v.signIn(ctx, s.address, person(i), password, noProxy)
		if err != nil {
			return err
		}
		statuses[status]++
		took = append(took, float64(wait)/float64(time.Millisecond))
	}
	lasted := time.Since(began)
	for i, counter := range counters {
		if after[i], err = s.count(ctx, counter); err != nil {
			return err
		}
	}
	stop()
	flood.wait()
	waits := drive.SpreadOf(took)
	what := "first sign-ins during a flood: " + c.what
	m.add(bar{
		What: fmt.Sprintf("%s, of %d", what, people), Value: float64(statuses[http.StatusOK]), AtLeast: number(float64(people)),
		Beside: fmt.Sprintf("statuses %v; in %.0f s, %.0f passwords were hashed and %.0f unknown names were refused without a hash; the flood was answered %v",
			statuses, lasted.Seconds(), after[0]-before[0], after[1]-before[1], flood.statuses),
	})
	m.add(bar{What: what + ", p50", Unit: "ms", Value: waits.Median, Spread: waits})
	m.add(bar{What: what + ", longest", Unit: "ms", Value: waits.Max})
	return nil
}

// restart stops a server and starts it again with the same database.
func (m *measurement) restart(ctx context.Context, s *server, d deployment) (*server, error) {
	if err := s.stop(); err != nil {
		return s, err
	}
	again, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return s, err
	}
	return again, nil
}

func person(i int) string { return fmt.Sprint("person-", i) }

// sprayUsers writes an htpasswd file. The names of the flood share a hash. Each of the other users
// has a different hash, because equal pairs of hash and password would be hashed only once.
func sprayUsers(folder string, names, people int) (string, error) {
	path := filepath.Join(folder, "spray.htpasswd")
	var b strings.Builder
	for i := range people + 1 {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), 10)
		if err != nil {
			return "", fmt.Errorf("hashing a password: %w", err)
		}
		if i < people {
			fmt.Fprintf(&b, "%s:%s\n", person(i), hash)
			continue
		}
		for n := range names {
			fmt.Fprintf(&b, "name-%d:%s\n", n, hash)
		}
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return "", fmt.Errorf("writing the names of the flood: %w", err)
	}
	return path, nil
}

// sprayFlood is a running flood.
type sprayFlood struct {
	connections sync.WaitGroup

	mu       sync.Mutex
	statuses map[int]int // 0: no answer
}

func startSpray(ctx context.Context, server string, c sprayCase, connections int) *sprayFlood {
	f := &sprayFlood{statuses: map[int]int{}}
	for i := range connections {
		f.connections.Go(func() {
			v := newVisitor(networkAddress(sprayPlaces, i))
			defer v.close()
			for n := 0; ctx.Err() == nil; n++ {
				status, _, err := v.signIn(ctx, server, c.names(i, n), fmt.Sprintf("wrong %d %d", i, n), noProxy)
				if ctx.Err() != nil {
					return
				}
				f.mu.Lock()
				f.statuses[status]++
				f.mu.Unlock()
				if err != nil && rest(ctx, 10*time.Millisecond) != nil {
					return
				}
			}
		})
	}
	return f
}

func (f *sprayFlood) wait() { f.connections.Wait() }
