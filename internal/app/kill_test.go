package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/journal/retention"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
)

var kills = flag.Int("kills", 8, "how often the test kills the service with kill -9")

// Environment variables for the processes that the test kills: the config, and the number of the
// process.
const (
	killedConfig = "APP_TEST_KILLED_CONFIG"
	killedLife   = "APP_TEST_KILLED_LIFE"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(killedConfig); file != "" {
		if err := serveUntilKilled(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	storetest.Stop()
	os.Exit(code)
}

// atLife returns the clock of a process. The clock of each process is a day ahead of the previous
// process. So the entries of earlier processes are old enough to be merged and removed.
func atLife(life int) func() time.Time {
	return func() time.Time { return time.Now().Add(time.Duration(life) * 26 * time.Hour) }
}

// serveUntilKilled runs the service under load. It prints the id of each event and each decision
// after the service has acknowledged it, and the checkpoints that the service has published.
func serveUntilKilled(file string) error {
	cfg, err := config.Load(file, config.Options{})
	if err != nil {
		return err
	}
	life, err := strconv.Atoi(os.Getenv(killedLife))
	if err != nil {
		return err
	}
	now := atLife(life)
	a, err := app.New(context.Background(), cfg, app.Options{Now: now, Hashing: cheapHashes, Settle: -1})
	if err != nil {
		return err
	}
	running, failed := make(chan struct{}), make(chan error, 1)
	go func() { failed <- a.Run(context.Background(), func() { close(running) }) }()
	select {
	case <-running:
	case err := <-failed:
		return err
	}
	h := a.Handler()
	var mu sync.Mutex // so that each line is one write call
	say := func(what, id string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(what, id)
	}
	for worker := range 32 {
		go func() {
			for i := 0; ; i++ {
				if worker == 0 { // so that checkpoints end anywhere in a group of leaves
					a.SignCheckpoint(context.Background())
					say("checkpoint", base64.StdEncoding.EncodeToString(do(h, "GET", "/journal/checkpoint", "").Body.Bytes()))
				}
				id := fmt.Sprintf("l%dw%dn%d", life, worker, i)
				body := killedEvent(id, i, now())
				if w := do(h, "POST", "/notifications", body); w.Code == http.StatusOK {
					say("event", id)
				}
				r := httptest.NewRequest("GET", "/token?service=r.example.com&scope=repository:a:pull", nil)
				// Wrong passwords are refused and recorded. Too many equal refusals are folded.
				right := i%4 != 3
				if r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1000", worker); right {
					r.SetBasicAuth("ann", "ann-password")
				} else {
					r.SetBasicAuth("bob", fmt.Sprint("guess ", i))
				}
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code == http.StatusOK {
					say("decision", jti(w.Body.Bytes()))
				}
			}
		}()
	}
	return <-failed
}

// killedEvent returns the i-th event of a worker: pushes of several manifests with a tag each,
// pulls of a tag, and deletes of manifests.
func killedEvent(id string, i int, at time.Time) string {
	action, tag := []string{"push", "push", "pull", "delete"}[i%4], fmt.Sprintf(`"tag":%q,`, id)
	if action == "delete" {
		tag = ""
	}
	return fmt.Sprintf(`{"events":[{"id":%q,"timestamp":%q,"action":%q,"actor":{"name":"ann"},"request":{"method":"GET"},
		"target":{"repository":"a",%s"digest":"sha256:%064x","size":500,"mediaType":"application/vnd.oci.image.manifest.v1+json"}}]}`,
		id, at.UTC().Format(time.RFC3339Nano), action, tag, i%20)
}

// jti returns the id of the token in an answer.
func jti(answer []byte) string {
	var body struct{ Token string }
	var claims struct{ JTI string }
	if json.Unmarshal(answer, &body) == nil {
		if _, rest, ok := strings.Cut(body.Token, "."); ok {
			payload, _, _ := strings.Cut(rest, ".")
			raw, _ := base64.RawURLEncoding.DecodeString(payload)
			_ = json.Unmarshal(raw, &claims)
		}
	}
	return claims.JTI
}

// The test kills the service at random moments. The service records events and decisions, merges,
// removes and indexes entries, and signs checkpoints. Every acknowledged event and decision must
// be in the journal exactly once. The journal must be valid, and the index must find the same
// entries as a scan. Each published checkpoint must be consistent with the tree. A rebuild must
// not change the projections.
func TestNothingAcknowledgedIsLostWhenTheServiceIsKilled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		f := newFolder(t)
		cfg := f.load(anyPort + rule("a") + `
audit: strict
token: { reuse: false }
journal: { keep: { decisions: { age: forever }, events: { age: forever }, refused: { age: 1h }, service: { age: 1h } } }
`)
		cfg.Database = d.Ready(t)
		file := filepath.Join(f.dir, "tidewaiter.yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f.write("tidewaiter.yaml", strings.Replace(string(text), "database: sqlite:state.db", "database: "+cfg.Database, 1))
		acknowledged := make(map[string]bool)
		for life := range *kills {
			killService(t, file, life, acknowledged)
		}

		cfg, err = config.Load(file, config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Journal.Keep = retention.Limits{} // so that no entry is removed during the comparison
		a, err := app.New(t.Context(), cfg, app.Options{Now: atLife(*kills), Hashing: cheapHashes, Settle: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer closed(t, a)
		if err := a.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		kept := make(map[string]int)
		for e, err := range a.Journal().Read(t.Context(), 0) {
			switch {
			case err != nil:
				t.Fatal(err)
			case e.Event != nil:
				kept["event "+e.Event.ID]++
			case e.Decision != nil && e.Decision.Refused == "":
				kept["decision "+e.Decision.Token.String()]++
			}
		}
		published := checkpointsIn(t, acknowledged)
		for what := range acknowledged {
			if kept[what] != 1 {
				t.Errorf("%s was acknowledged and is in the journal %d times", what, kept[what])
			}
		}
		for what, n := range kept {
			if n != 1 {
				t.Errorf("%s is in the journal %d times", what, n)
			}
		}
		// The final process removes the old entries of the killed processes.
		await.Until(t, "entries are removed", func(ctx context.Context) error {
			v, err := a.Journal().Verify(ctx, 0)
			if _, broken := errors.AsType[*journal.BrokenError](err); broken {
				t.Fatal(err)
			}
			if err == nil && v.Removed == 0 {
				err = errors.New("no entry was removed")
			}
			return err
		})
		t.Logf("%d acknowledged, %d checkpoints", len(acknowledged), len(published))
		sameWithoutIndex(t, a)
		consistentWith(t, a, published)
		sameAfterRebuild(t, a)
	})
}

// killService starts the service, and kills it after some acknowledgements.
func killService(t *testing.T, file string, life int, acknowledged map[string]bool) {
	t.Helper()
	last, n := 1+rand.IntN(1200), 0
	storetest.RunChild(t, []string{killedConfig + "=" + file, fmt.Sprintf("%s=%d", killedLife, life)}, func(line string, kill func()) {
		acknowledged[line] = true
		if n++; n == last {
			kill()
		}
	})
	if n < last {
		t.Fatalf("the process ended after %d acknowledgements", n)
	}
}

// sameWithoutIndex checks that a search with the index finds the same entries as a search without
// it. It repeats both searches until they agree, because entries can be removed between the two
// searches.
func sameWithoutIndex(t *testing.T, a *app.App) {
	t.Helper()
	plain := a.JournalWithoutIndex(t)
	for what, q := range map[string]journal.Query{
		"events":            {Kind: journal.KindEvent},
		"refused":           {Outcome: journal.Refused},
		"one tag":           {Tag: "l0w3n0"},
		"a principal":       {Kind: journal.KindDecision, Who: &journal.Who{Subjects: []string{"user:ann"}}},
		"the service":       {Kind: journal.KindService},
		"repository, pulls": {Repository: "a", Action: "pull"},
	} {
		await.Until(t, what+" is found by the index", func(ctx context.Context) error {
			byIndex, err := searchAll(ctx, a.Journal(), q)
			if err != nil {
				return err
			}
			byScan, err := searchAll(ctx, plain, q)
			if err == nil && !slices.Equal(byIndex, byScan) {
				err = fmt.Errorf("the index finds %d entries, a scan %d", len(byIndex), len(byScan))
			}
			return err
		})
	}
}

// searchAll returns the positions of all entries that a query selects.
func searchAll(ctx context.Context, j *journal.Journal, q journal.Query) (found []journal.Position, err error) {
	for before := journal.Position(0); ; {
		page, err := j.Search(ctx, q, before, 1000, func(int) bool { return false })
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			found = append(found, e.Position)
		}
		if before = page.Next; before == 0 {
			return found, nil
		}
	}
}
