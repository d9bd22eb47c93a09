package drive

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newTarget(t *testing.T, address string) *Target {
	t.Helper()
	target, err := NewTarget(t.Context(), TargetOptions{Name: "it", URL: address, Vary: 3})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestRunCountsWhatTheServerSaw(t *testing.T) {
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := served.Add(1)
		if n%10 == 0 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if n%10 == 5 {
			w.(http.Flusher).Flush() // sends a chunked response
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
	}))
	defer server.Close()

	got, err := Run(t.Context(), newTarget(t, server.URL+"/token?scope=repository:a:pull"), Options{Connections: 4, Requests: 200})
	if err != nil {
		t.Fatal(err)
	}
	if served.Load() != 200 || got.Requests != 200 || got.latencies.TotalCount() != 200 {
		t.Errorf("200 requests: the server saw %d, counted are %d, timed %d", served.Load(), got.Requests, got.latencies.TotalCount())
	}
	if diff := cmp.Diff(map[int]int64{200: 180, 401: 20}, got.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if got.Failed() != 20 || len(got.Errors) != 0 || got.Reconnect != 0 {
		t.Errorf("failed %d, errors %v, reconnects %d", got.Failed(), got.Errors, got.Reconnect)
	}
	if got.BytesIn < 180*1000 || got.BytesOut < 200*50 {
		t.Errorf("%d bytes in, %d out", got.BytesIn, got.BytesOut)
	}
	if got.Elapsed <= 0 || got.Rate() <= 0 {
		t.Errorf("%g requests/s in %s", got.Rate(), got.Elapsed)
	}
}

func TestRunEndsWhenItsTimeIsOver(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	const duration = 50 * time.Millisecond
	got, err := Run(t.Context(), newTarget(t, server.URL), Options{Connections: 2, Duration: duration, Settle: duration})
	if err != nil {
		t.Fatal(err)
	}
	if got.Elapsed != duration || got.Failed() != 0 {
		t.Errorf("%s, %d failed: %v", got.Elapsed, got.Failed(), got.Errors)
	}
	// All counted requests were sent and answered in the measured time, so none took longer
	// than that time.
	if longest := got.Latency(1); longest > duration+duration/128 {
		t.Errorf("a request of %s in a run of %s", longest, duration)
	}
}

func TestRunGoesOnWithAnotherConnection(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	got, err := Run(t.Context(), newTarget(t, server.URL), Options{Connections: 2, Requests: 20})
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 20 || got.Failed() != 0 || got.Reconnect < 18 {
		t.Errorf("%d requests, %d failed, %d reconnects", got.Requests, got.Failed(), got.Reconnect)
	}
}

func TestRunCountsAnswersThatBreakOff(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "short")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	got, err := Run(t.Context(), newTarget(t, server.URL), Options{Connections: 1, Requests: 3})
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 0 || got.Errors["connection ended within an answer"] != 3 {
		t.Errorf("%d requests, errors %v", got.Requests, got.Errors)
	}
}

func TestRunEndsWhereNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	target := newTarget(t, server.URL)
	server.Close()
	got, err := Run(t.Context(), target, Options{Connections: 2, Requests: 6})
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 0 || got.Failed() < 6 || got.Errors["connection refused"] < 6 {
		t.Errorf("%d requests, errors %v", got.Requests, got.Errors)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := Run(ctx, newTarget(t, server.URL), Options{Connections: 1, Requests: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by its context: %v", err)
	}
}

func TestRunSpeaksTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	defer server.Close()
	got, err := Run(t.Context(), newTarget(t, server.URL), Options{Connections: 2, Requests: 10})
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 10 || got.Failed() != 0 {
		t.Errorf("%d requests, status %v, errors %v", got.Requests, got.Status, got.Errors)
	}
}

func TestRunRefusesSenselessOptions(t *testing.T) {
	target := newTarget(t, "http://127.0.0.1:1/")
	for _, o := range []Options{
		{}, {Duration: -1}, {Connections: -1, Duration: 1}, {Connections: 5000, Duration: 1},
		{Duration: 1, Settle: -1}, {Duration: 1, Requests: -1},
	} {
		if _, err := Run(t.Context(), target, o); err == nil {
			t.Errorf("%+v was run", o)
		}
	}
}

func TestComparisonIsRoundByRound(t *testing.T) {
	slice := func(n int64) *Result { return &Result{Requests: n, Elapsed: time.Second} }
	c := &Comparison{Targets: []Compared{
		{Name: "a", Slice: []*Result{slice(100), slice(50), slice(200), slice(100)}},
		{Name: "b", Slice: []*Result{slice(75), slice(50), slice(100), slice(75)}},
	}}
	if diff := cmp.Diff(Spread{Min: 0.5, Median: 0.75, Max: 1}, c.Ratio(1, 0, Rate)); diff != "" {
		t.Errorf("ratio (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Spread{Min: 50, Median: 100, Max: 200}, c.Spread(0, Rate)); diff != "" {
		t.Errorf("spread (-want +got):\n%s", diff)
	}
}

func TestCompareGivesEachTargetItsTurns(t *testing.T) {
	var targets []*Target
	var turns strings.Builder
	for _, name := range []string{"a", "b"} {
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { turns.WriteString(name) }))
		defer server.Close()
		targets = append(targets, newTarget(t, server.URL))
	}
	c, err := Compare(t.Context(), targets, 3, Options{Connections: 1, Requests: 1})
	if err != nil {
		t.Fatal(err)
	}
	if turns.String() != "abbaab" {
		t.Errorf("turns: %s", turns.String())
	}
	for _, target := range c.Targets {
		if len(target.Slice) != 3 || target.All.Requests != 3 || target.All.Failed() != 0 {
			t.Errorf("%s: %d slices, %d requests, %d failed", target.Name, len(target.Slice), target.All.Requests, target.All.Failed())
		}
	}
}
