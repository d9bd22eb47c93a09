package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
	hashing "github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/store"
)

// directoryAway is the network round trip to the directory.
const directoryAway = 20 * time.Millisecond

// measureRefusals measures whether the time of a rejection reveals which users exist. It compares
// unknown names, wrong passwords, disabled accounts and expired accounts, with one sign-in of each
// kind in turn. Each name is tried twice, from its own address.
func (m *measurement) measureRefusals(ctx context.Context) (err error) {
	directory, err := ldaptest.Start()
	if err != nil {
		return err
	}
	defer directory.Stop()
	if err := directory.Load(directoryUsers(m.tries)); err != nil {
		return err
	}
	far, err := newLatencyProxy(directory.Address, directoryAway/2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, far.close()) }()

	users := filepath.Join(m.folder, "refused.htpasswd")
	hash, err := bcrypt.GenerateFromPassword([]byte(password), 10)
	if err != nil {
		return fmt.Errorf("hashing a password: %w", err)
	}
	var lines strings.Builder
	for i := range m.tries {
		fmt.Fprintf(&lines, "local-wrong-%d:%s\n", i, hash)
	}
	if err := os.WriteFile(users, []byte(lines.String()), 0o600); err != nil {
		return fmt.Errorf("writing the htpasswd file: %w", err)
	}
	remote := deployment{reuse: true, rules: 1, proxied: true, ldap: far.address(), secret: directory.File(ldaptest.ReaderFile)}
	everywhere := []string{"unknown", "wrong", "disabled", "expired"}
	file, database, alone := remote, remote, remote
	file.name, file.users = "refused-htpasswd", users
	database.name, database.users, database.accounts = "refused-accounts", noUsers, true
	alone.name, alone.users = "refused-directory", noUsers
	for _, c := range []struct {
		what  string
		of    deployment
		kinds []string
	}{
		{"htpasswd with a directory", file, append(everywhere, "local-wrong")},
		{"accounts with a directory", database, append(everywhere, "local-wrong", "local-disabled", "local-expired")},
		{"a directory", alone, everywhere},
	} {
		if err := m.refused(ctx, c.what, c.of, c.kinds); err != nil {
			return err
		}
	}
	return nil
}

func (m *measurement) refused(ctx context.Context, what string, d deployment, kinds []string) (err error) {
	fmt.Fprintf(m.progress, "rejections, %s, %d of each kind …\n", what, m.tries)
	s, err := startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if d.accounts {
		if err := s.stop(); err != nil {
			return err
		}
		if err := refusedAccounts(ctx, "sqlite:"+filepath.Join(m.folder, d.name, "state.db"), m.tries); err != nil {
			return err
		}
		if s, err = startTidewaiter(ctx, m.programs.tidewaiter, m.folder, d, m.keys); err != nil {
			return err
		}
	}
	v := newVisitor(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	defer v.close()
	took := map[string][]float64{}
	address := 0
	attempt := func(kind string, i int, keep bool) error {
		address++
		from := netip.AddrFrom4([4]byte{10, byte(address >> 16), byte(address >> 8), byte(address)})
		for _, try := range []string{"first", "again"} {
			status, wait, err := v.signIn(ctx, s.address, fmt.Sprintf("%s-%d", kind, i), "not "+password, from)
			if err != nil {
				return err
			}
			if status != http.StatusUnauthorized {
				return fmt.Errorf("%s, %s-%d: status %d", what, kind, i, status)
			}
			if keep {
				took[kind+" "+try] = append(took[kind+" "+try], float64(wait)/float64(time.Millisecond))
			}
		}
		return nil
	}
	for i := range m.tries {
		for n := range kinds { // in varying order
			if err := attempt(kinds[(n+i)%len(kinds)], i, i > 0 || m.tries == 1); err != nil {
				return err
			}
		}
	}
	m.add(comparedRefusals(what, kinds, took))
	return nil
}

// comparedRefusals compares the median time of each kind of rejection with the median for
// unknown names. The allowed difference is 5 % or 2 ms. The larger of these values is used.
func comparedRefusals(what string, kinds []string, took map[string][]float64) bar {
	base := drive.SpreadOf(took["unknown first"]).Median
	allowed := max(0.05*base, 2)
	worst := 0.0
	var beside []string
	for _, kind := range kinds {
		first, again := drive.SpreadOf(took[kind+" first"]).Median, drive.SpreadOf(took[kind+" again"]).Median
		for _, median := range []float64{first, again} {
			worst = max(worst, median-base, base-median)
		}
		beside = append(beside, fmt.Sprintf("%s %.1f and %.1f", kind, first, again))
	}
	return bar{
		What: "medians of rejections, " + what + ": farthest from the unknown", Unit: "ms", Value: worst, AtMost: &allowed, decimals: 1,
		Beside: "first and again, in ms: " + strings.Join(beside, ", "),
	}
}

// directoryUsers returns LDIF that adds users to a directory: n users of each kind.
func directoryUsers(n int) []byte {
	var b strings.Builder
	for i := range n {
		for _, kind := range []string{"wrong", "disabled", "expired"} {
			dn := fmt.Sprintf("uid=%s-%d,%s", kind, i, ldaptest.People)
			fmt.Fprintf(&b, "dn: %s\nchangetype: add\nobjectClass: inetOrgPerson\nuid: %s-%d\ncn: %s\nsn: %s\nuserPassword: %s\n\n", dn, kind, i, kind, kind, password)
			switch kind {
			case "disabled":
				fmt.Fprintf(&b, "dn: %s\nchangetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n\n", dn)
			case "expired":
				fmt.Fprintf(&b, "dn: %s\nchangetype: modify\nadd: pwdEndTime\npwdEndTime: 20200101000000Z\n\n", dn)
			}
		}
	}
	return []byte(b.String())
}

// refusedAccounts adds accounts, n of each kind, with the same hash.
func refusedAccounts(ctx context.Context, url string, n int) (err error) {
	hash, err := hashing.New(hashing.Options{}).Hash(ctx, password)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Write(ctx, "", func(tx *sql.Tx) error {
		id := 0
		for i := range n {
			for _, of := range []struct {
				kind              string
				expires, disabled int
			}{{"wrong", 0, 0}, {"disabled", 0, 1}, {"expired", 2, 0}} {
				id++
				if _, err := tx.ExecContext(ctx, `INSERT INTO accounts (id, kind, name, version, created, changed, expires, disabled, hash)
					VALUES ($1, 'user', $2, 1, 1, 1, $3, $4, $5)`,
					fmt.Sprintf("%08x-0000-7000-8000-000000000000", id), fmt.Sprintf("local-%s-%d", of.kind, i), of.expires, of.disabled, hash); err != nil {
					return fmt.Errorf("adding accounts: %w", err)
				}
			}
		}
		return nil
	})
}

// latencyProxy is a proxy that simulates network latency: it delays all data in both directions.
type latencyProxy struct {
	listener net.Listener
	to       string
	delay    time.Duration // one way
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newLatencyProxy(to string, delay time.Duration) (*latencyProxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	d := &latencyProxy{listener: listener, to: to, delay: delay, conns: map[net.Conn]bool{}}
	d.running.Go(d.accept)
	return d, nil
}

func (d *latencyProxy) address() string { return d.listener.Addr().String() }

func (d *latencyProxy) accept() {
	for {
		near, err := d.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", d.to)
		if err != nil {
			near.Close()
			continue
		}
		d.mu.Lock()
		d.conns[near], d.conns[far] = true, true
		d.mu.Unlock()
		d.running.Go(func() { d.copyData(near, far) })
		d.running.Go(func() { d.copyData(far, near) })
	}
}

// copyData sends the data of one side to the other side, until either side ends.
func (d *latencyProxy) copyData(from, to net.Conn) {
	type parcel struct {
		bytes []byte
		due   time.Time
	}
	way := make(chan parcel, 1024)
	var arriving sync.WaitGroup
	arriving.Go(func() {
		for p := range way {
			_ = clock.Sleep(context.Background(), time.Until(p.due))
			_, _ = to.Write(p.bytes)
		}
		to.Close()
	})
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			way <- parcel{append([]byte(nil), buffer[:n]...), time.Now().Add(d.delay)}
		}
		if err != nil {
			break
		}
	}
	close(way)
	arriving.Wait()
	from.Close()
	d.mu.Lock()
	delete(d.conns, from)
	d.mu.Unlock()
}

func (d *latencyProxy) close() error {
	err := d.listener.Close()
	d.mu.Lock()
	for c := range d.conns {
		c.Close()
	}
	d.mu.Unlock()
	d.running.Wait()
	return err
}
