package credentials_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/accounts"
	"github.com/tidewaiter/tidewaiter/internal/accounts/accountstest"
	"github.com/tidewaiter/tidewaiter/internal/admin"
	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/credentials"
	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/policy"
)

var errFault = errors.New("on purpose")

// changeFuncs returns a function for each kind of change.
func (h *harness) changeFuncs() map[string]func() error {
	ctx, secret := h.T.Context(), identity.NewSecret("correct horse battery")
	token, laptop := h.AddTestToken("ann", "laptop")
	ann := h.ActorOf(presented("ann", passwordOf("ann")))
	offered, _, err := h.SetupSecret(ctx)
	if err != nil {
		h.T.Fatal(err)
	}
	verified, err := h.Chain.Authenticate(ctx, presented("ann", laptop))
	if err != nil {
		h.T.Fatal(err)
	}
	return map[string]func() error{
		"AddUser": func() error {
			_, err := h.AddUser(ctx, operator, accounts.NewUser{Name: "eve", Groups: []string{"dev"}})
			return err
		},
		"AddRobot": func() error {
			_, _, err := h.AddRobot(ctx, operator, accounts.NewRobot{Name: "eve", Groups: []string{"dev"}})
			return err
		},
		"SetPassword": func() error { _, err := h.SetPassword(ctx, operator, "ann", secret, 0); return err },
		"ChangePassword": func() error {
			_, err := h.ChangePassword(ctx, ann, identity.NewSecret(passwordOf("ann")), secret)
			return err
		},
		"SetExpiry":   func() error { _, err := h.SetExpiry(ctx, operator, "ann", h.Clock.Now().Add(time.Hour), 0); return err },
		"Disable":     func() error { _, err := h.Disable(ctx, operator, "ann", 0); return err },
		"Enable":      func() error { _, err := h.Enable(ctx, operator, "ann", 0); return err },
		"Delete":      func() error { return h.Delete(ctx, operator, "ann", 0) },
		"Rotate":      func() error { _, _, err := h.Rotate(ctx, operator, "robot+ci", time.Hour); return err },
		"AddGroup":    func() error { _, err := h.AddGroup(ctx, operator, "new"); return err },
		"Join":        func() error { _, err := h.Join(ctx, operator, admin.Auditors, "ann", 0); return err },
		"Leave":       func() error { _, err := h.Leave(ctx, operator, "dev", "ann", 0); return err },
		"DeleteGroup": func() error { return h.DeleteGroup(ctx, operator, "dev", 0) },
		"AddToken": func() error {
			_, _, err := h.AddToken(ctx, operator, credentials.NewToken{Owner: credentials.Owner{Name: "ann"}, Name: "new"})
			return err
		},
		"Revoke":       func() error { return h.Revoke(ctx, operator, token.ID) },
		"RevokeAll":    func() error { _, err := h.RevokeAll(ctx, operator, credentials.Owner{Name: "ann"}, ""); return err },
		"IssueRefresh": func() error { _, err := h.IssueRefresh(ctx, presented("ann", laptop), verified); return err },
		"SetupSecret":  func() error { _, _, err := h.SetupSecret(ctx); return err },
		"SetUp": func() error {
			_, err := h.SetUp(ctx, offered, accounts.NewUser{Name: "eve", Password: secret}, identity.Presented{Remote: ann.Remote})
			return err
		},
	}
}

// Each write fails in two ways: it is not stored, or it is stored but reported as failed. Either
// the whole change must be stored with its journal entry, or no part of the change. The cache must
// agree with the database.
func TestWritesAreAtomic(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Maintain(t.Context())
		h.AddTestUser("ann", "dev")
		h.AddTestRobot("ci")
		var kept, failing bool
		h.SetWrite(func(real accountstest.Write) accountstest.Write {
			return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
				switch {
				case !failing:
					return real(ctx, topic, f)
				case kept:
					return errors.Join(errFault, real(ctx, topic, f))
				}
				return real(ctx, topic, func(tx *sql.Tx) error { return errors.Join(f(tx), errFault) })
			}
		})
		for what, write := range h.changeFuncs() {
			if what == "Delete" || what == "DeleteGroup" || what == "SetUp" || what == "Revoke" || what == "RevokeAll" || what == "ChangePassword" || what == "SetPassword" {
				defer func() { // last, because other writes need the deleted objects
					kept, failing = false, true
					before, entries := h.Rows(), h.Changes()
					is(t, what, write(), errFault)
					if diff := cmp.Diff(before, h.Rows()); diff != "" || len(h.Changes()) != len(entries) {
						t.Errorf("%s failed, but a part of it is stored (-before +after):\n%s", what, diff)
					}
				}()
				continue
			}
			for _, kept = range []bool{false, true} {
				if what == "Enable" { // enabling an enabled account changes nothing
					_, err := h.Disable(t.Context(), operator, "ann", 0)
					is(t, "disabling ann before", err, nil)
				}
				failing = true
				before, entries := h.Rows(), h.Changes()
				err := write()
				failing = false
				is(t, what, err, errFault)
				diff, n := cmp.Diff(before, h.Rows()), len(h.Changes())-len(entries)
				if !kept && (diff != "" || n != 0) {
					t.Errorf("%s failed, with %d entries, but a part of it is stored (-before +after):\n%s", what, n, diff)
				}
				if kept && (diff == "" || n != 1) {
					t.Errorf("%s was stored, with %d entries:\n%s", what, n, diff)
				}
			}
			switch what { // restore ann for the next writes
			case "Disable", "SetExpiry":
				_, err := h.Enable(t.Context(), operator, "ann", 0)
				_, err2 := h.SetExpiry(t.Context(), operator, "ann", time.Time{}, 0)
				is(t, "undoing", errors.Join(err, err2), nil)
			case "Leave":
				_, err := h.Join(t.Context(), operator, "dev", "ann", 0)
				is(t, "undoing", err, nil)
			}
		}
	})
}

// If a commit is stored but reported as failed, the cache must be cleared.
func TestUnclearCommitClearsTheCache(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Maintain(t.Context())
		h.AddTestUser("ann")
		ways := h.credentialsOfAnn()
		h.SetWrite(func(real accountstest.Write) accountstest.Write {
			return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
				return errors.Join(errFault, real(ctx, topic, f))
			}
		})
		_, err := h.Disable(t.Context(), operator, "ann", 0)
		is(t, "disabling", err, errFault)
		h.all(ways, "rejected")
	})
}

// A cached password, token or refresh token needs no query and no hash. So it works during an
// outage of the database. For any other credential, the result is an outage and not a refusal.
func TestCachedCredentialsNeedNoDatabase(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Maintain(t.Context())
		h.AddTestUser("ann")
		ways := h.credentialsOfAnn()
		_, cold := h.AddTestToken("ann", "cold")
		before := h.Hashing.Stats()
		h.all(ways, "user:ann")
		if after := h.Hashing.Stats(); after != before {
			t.Errorf("hashes: %+v, before: %+v", after, before)
		}
		h.DB.Close()
		for range 3 {
			h.all(ways, "user:ann")
		}
		for _, c := range []identity.Presented{presented("ann", "wrong password"), presented("ann", cold), presented("nobody", "wrong password")} {
			if _, err := h.Chain.Authenticate(t.Context(), c); !errors.Is(err, identity.ErrUnavailable) {
				t.Errorf("an unknown credential during an outage: %v, want %v", err, identity.ErrUnavailable)
			}
		}
		// A typing mistake is detected without the database.
		if got := h.SignIn(presented("ann", cold[:len(cold)-1]+"_")); got != "rejected" {
			t.Errorf("a mistyped token: %s", got)
		}
	})
}

// Each process polls once a second, and so notices the changes of other processes.
func TestOtherProcessesNoticeChanges(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		other := h.Open()
		maintain := other.Maintain(t.Context())
		h.AddTestUser("ann")
		_, laptop := h.AddTestToken("ann", "laptop")
		enters := func(want error) {
			t.Helper()
			for _, c := range []identity.Presented{presented("ann", passwordOf("ann")), presented("ann", laptop)} {
				_, err := other.Authenticate(t.Context(), c)
				is(t, c.Name, err, want)
			}
		}
		enters(nil)
		if _, err := h.AddUser(t.Context(), operator, accounts.NewUser{Name: "bob"}); err != nil {
			t.Fatal(err)
		}
		maintain()
		if other.Cached() != 2 {
			t.Errorf("%d are cached after an account was added, want 2", other.Cached())
		}
		if _, err := h.Disable(t.Context(), operator, "ann", 0); err != nil {
			t.Fatal(err)
		}
		maintain()
		enters(identity.ErrRejected)
	})
}

// Maintenance writes to the database, so it can be blocked or slow. Even then, revocations by
// other processes must take effect.
func TestRevokedCredentialsEndDuringMaintenance(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Options.Every = time.Millisecond
		other := h.Open()
		waiting, release := make(chan struct{}, 1), make(chan struct{})
		other.SetWrite(func(real accountstest.Write) accountstest.Write {
			return func(ctx context.Context, topic string, f func(*sql.Tx) error) error {
				select {
				case waiting <- struct{}{}:
				default:
				}
				<-release
				return real(ctx, topic, f)
			}
		})
		h.AddTestUser("ann")
		token, laptop := h.AddTestToken("ann", "laptop")
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := other.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer func() {
			close(release)
			cancel()
			running.Wait()
		}()
		authenticate := func() error {
			_, err := other.Authenticate(t.Context(), presented("ann", laptop))
			return err
		}
		await.Until(t, "a warm token", func(context.Context) error {
			if err := authenticate(); err != nil || other.Cached() > 0 {
				return err
			}
			return errors.New("the token is not cached")
		})
		h.Clock.Pass(time.Minute)
		is(t, "the token", authenticate(), nil) // records a use that maintenance has to write
		<-waiting
		if err := h.Revoke(t.Context(), operator, token.ID); err != nil {
			t.Fatal(err)
		}
		await.Until(t, "the token becomes invalid", func(context.Context) error {
			if err := authenticate(); !errors.Is(err, identity.ErrRejected) {
				return fmt.Errorf("the token is still valid: %w", err)
			}
			return nil
		})
	})
}

// Without Run nothing is cached, because nothing would clear the cache.
func TestWithoutRunNothingIsCached(t *testing.T) {
	h := newHarness(t, storetest.SQLite().Ready(t))
	h.AddTestUser("ann")
	h.SignIn(presented("ann", passwordOf("ann")))
	if h.Cached() != 0 {
		t.Errorf("%d are cached", h.Cached())
	}
}

func TestRunEndsWithItsContextAndWritesLastUses(t *testing.T) {
	h := newHarness(t, "sqlite://"+filepath.Join(t.TempDir(), "state.db"))
	h.AddTestUser("ann")
	token, laptop := h.AddTestToken("ann", "laptop")
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	h.SignIn(presented("ann", laptop))
	cancel()
	running.Wait()
	token, err := h.Token(t.Context(), operator, token.ID)
	if err != nil || !token.Used.Equal(h.Clock.Now()) || token.From != presented("", "").Remote {
		t.Errorf("%+v, %v", token, err)
	}
}

// Only expired tokens are deleted. The idle time of a refresh token counts from its newest use in
// any process.
func TestExpiredTokensArePurged(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		maintain := h.Maintain(t.Context())
		h.AddTestUser("ann")
		add := func(name string, ends time.Duration) string {
			t.Helper()
			_, secret, err := h.AddToken(t.Context(), operator, credentials.NewToken{Owner: credentials.Owner{Name: "ann"}, Name: name, Expires: h.Clock.Now().Add(ends)})
			if err != nil {
				t.Fatal(err)
			}
			return secret.Reveal()
		}
		add("soon", time.Hour)
		add("later", 80*24*time.Hour)
		h.AddTestToken("ann", "lasting")
		used, unused := h.RefreshToken("ann", passwordOf("ann")), h.RefreshToken("ann", passwordOf("ann"))
		names := func(want ...string) {
			t.Helper()
			maintain()
			list, _, err := h.Tokens(t.Context(), operator, credentials.Owner{Name: "ann"}, admin.Page{})
			var got []string
			for _, token := range list {
				got = append(got, string(token.Purpose)+" "+token.Name)
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("the tokens: %v (-want +got):\n%s", err, diff)
			}
		}
		names("access soon", "access later", "access lasting", "refresh ", "refresh ")
		h.Clock.Pass(60 * 24 * time.Hour)
		if got := h.SignIn(refreshing(used)); got != "user:ann" {
			t.Errorf("the refresh token that is used: %s", got)
		}
		names("access later", "access lasting", "refresh ", "refresh ")
		h.Clock.Pass(31 * 24 * time.Hour)
		names("access later", "access lasting", "refresh ")
		for token, want := range map[string]string{used: "user:ann", unused: "rejected"} {
			if got := h.SignIn(refreshing(token)); got != want {
				t.Errorf("a refresh token: %s, want %s", got, want)
			}
		}
	})
}

// The hourly purge must read only the expired tokens, and not the valid tokens.
func TestPurgeReadsOnlyExpiredTokens(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		var plan []string
		err := h.DB.Write(t.Context(), "", func(tx *sql.Tx) error {
			explain := "EXPLAIN QUERY PLAN "
			if !strings.HasPrefix(h.URL, "sqlite:") {
				explain = "EXPLAIN " // an empty table would be scanned
				if _, err := tx.ExecContext(t.Context(), "SET LOCAL enable_seqscan = off"); err != nil {
					return err
				}
			}
			rows, err := tx.QueryContext(t.Context(), explain+credentials.PurgeQuery, 1, 1, 1, 1, 500, 1)
			if err != nil {
				return err
			}
			defer rows.Close()
			columns, err := rows.Columns()
			for rows.Next() {
				var text string
				into := make([]any, len(columns))
				for i := range into {
					into[i] = new(any)
				}
				into[len(into)-1] = &text
				if err := rows.Scan(into...); err != nil {
					return err
				}
				plan = append(plan, text)
			}
			return errors.Join(err, rows.Err())
		})
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(plan, "\n")
		if strings.Contains(text, "SCAN account_tokens") || strings.Contains(text, "Seq Scan") ||
			strings.Count(text, "account_tokens_by_") != 6 || !strings.Contains(text, "account_tokens_by_end") || !strings.Contains(text, "account_tokens_by_age") {
			t.Errorf("the plan:\n%s", text)
		}
	})
}

// Harbor: a map of failed logins, keyed by names that attackers chose, never shrank. In
// Tidewaiter, failed attempts need no memory, and the cache has a limit.
func TestMemoryIsBounded(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.Maintain(t.Context())
		for i := range 2000 {
			if i < 20 { // these attempts cost a hash
				h.SignIn(presented(fmt.Sprintf("nobody%d", i), "x"))
			}
			h.SignIn(presented("", newSecret('a').Reveal()))
		}
		if h.Cached() != 0 {
			t.Errorf("%d are cached after refusals alone", h.Cached())
		}
	})
}

// BenchmarkCached measures a cached credential.
func BenchmarkCached(b *testing.B) {
	h := newHarness(b, storetest.SQLite().Ready(b))
	h.Hashing = password.New(password.Options{HashMemory: 64})
	h.Maintain(b.Context())
	h.AddTestUser("ann")
	_, laptop := h.AddTestToken("ann", "laptop", policy.Limit{Names: []string{"team/**"}, Actions: 1})
	for what, c := range map[string]identity.Presented{
		"password": presented("ann", passwordOf("ann")), "token": presented("ann", laptop), "refresh": refreshing(h.RefreshToken("ann", laptop)),
	} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Authenticate(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
