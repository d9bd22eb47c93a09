package delivery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tidewaiter/tidewaiter/internal/delivery"
	"github.com/tidewaiter/tidewaiter/internal/delivery/signature"
	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/store"
	"github.com/tidewaiter/tidewaiter/internal/store/storetest"
	"github.com/tidewaiter/tidewaiter/notification"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) { storetest.Stop(); os.Exit(code) }))
}

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// receiver is an endpoint that records what it receives. Its methods may be called from any
// goroutine.
type receiver struct {
	now func() time.Time
	// answer returns the status of the response to an entry; 0: no response. nil: 204.
	answer func(subject, tag string) int

	mu       sync.Mutex
	received []received
}

type received struct {
	At             time.Time
	Subject, Tag   string
	Accepted       bool
	ID, Type, Body string
}

func (r *receiver) RoundTrip(q *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	var e struct {
		Type, Subject string
		Data          struct{ Event struct{ Tag string } }
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	status := http.StatusNoContent
	if r.answer != nil {
		status = r.answer(e.Subject, e.Data.Event.Tag)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received = append(r.received, received{r.now(), e.Subject, e.Data.Event.Tag, status/100 == 2, q.Header.Get("Webhook-Id"), e.Type, string(body)})
	if status == 0 {
		return nil, errors.New("no connection")
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: q}, nil
}

// tags returns the repositories and tags of the accepted entries, or of all received entries.
func (r *receiver) tags(all bool) (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.received {
		if one.Accepted || all {
			list = append(list, one.Subject+":"+one.Tag)
		}
	}
	return list
}

// fixture is a journal with one webhook. The clock of the fixture stands still.
type fixture struct {
	t       *testing.T
	now     time.Time
	db      *store.DB
	journal *journal.Journal
	to      *receiver
	log     bytes.Buffer
	hook    delivery.Webhook
	d       *delivery.Delivery
	driver  *delivery.Driver
}

func newFixture(t *testing.T, url string) *fixture {
	t.Helper()
	f := &fixture{t: t, now: noon, hook: delivery.Webhook{Name: "ci", URL: "https://ci.example/secret-path"}}
	f.to = &receiver{now: f.clock}
	var err error
	if f.db, err = store.Open(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	if f.journal, err = journal.New(f.db, journal.Options{Now: f.clock, Linger: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(f.journal.Close(context.Background()), f.db.Close()); err != nil {
			t.Error(err)
		}
	})
	f.start()
	return f
}

func (f *fixture) clock() time.Time { return f.now }

// start starts a process that delivers. If the previous process did not release its lease, it
// counts as killed, and start waits until its lease can be taken.
func (f *fixture) start() {
	f.t.Helper()
	d, err := delivery.New(f.db, f.journal, delivery.Options{
		Webhooks: []delivery.Webhook{f.hook}, Now: f.clock, Log: slog.New(slog.NewTextHandler(&f.log, nil)),
		Transport: func(*delivery.Webhook) http.RoundTripper { return f.to },
		Jitter:    func() float64 { return 0 },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.d, f.driver = d, delivery.NewDriver(d)
	if !f.driver.Acquire(f.t.Context()) {
		f.driver.Acquire(f.t.Context()) // sees the lease of the killed process, and then waits
		f.now = f.now.Add(delivery.TakenAfter)
		if !f.driver.Acquire(f.t.Context()) {
			f.t.Fatal("the lease cannot be taken")
		}
	}
	f.round()
}

// round sends everything that can be sent now, and returns how long to wait.
func (f *fixture) round() time.Duration {
	f.t.Helper()
	wait := f.driver.Round(f.t.Context(), 1000)
	if wait == 0 {
		f.t.Fatal("the worker did not stop after 1000 batches")
	}
	if !f.driver.Save(f.t.Context()) {
		f.t.Fatal("the state was not saved")
	}
	return wait
}

// push appends an event for each text, such as team/app:v1.
func (f *fixture) push(names ...string) {
	f.t.Helper()
	entries := make([]journal.Entry, len(names))
	for i, name := range names {
		repository, tag, _ := strings.Cut(name, ":")
		entries[i] = journal.Entry{Registry: "r", Event: &notification.Event{ID: name, Time: f.now, Action: "push", Repository: repository, Tag: tag}}
	}
	if err := f.journal.Append(f.t.Context(), entries...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) status() delivery.Status {
	f.t.Helper()
	list, err := f.d.Status(f.t.Context())
	if err != nil || len(list) != 1 {
		f.t.Fatalf("Status returned %v, %v", list, err)
	}
	return list[0]
}

// services returns the actions of the entries about the service.
func (f *fixture) services() (actions []string) {
	f.t.Helper()
	for e, err := range f.journal.Read(f.t.Context(), 0) {
		if err != nil {
			f.t.Fatal(err)
		}
		if e.Service != nil {
			actions = append(actions, e.Service.Action)
		}
	}
	return actions
}

func (f *fixture) want(all bool, want ...string) {
	f.t.Helper()
	if diff := cmp.Diff(want, f.to.tags(all)); diff != "" {
		f.t.Errorf("want (-), received (+):\n%s", diff)
	}
}

// A service receives events before its workers have read their state.
func TestANewWebhookGetsAllEntriesSinceItsBeginning(t *testing.T) {
	storetest.Each(t, func(t *testing.T, d storetest.Database) {
		f := newFixture(t, d.New(t))
		f.push("team/app:before")
		f.driver.Release(t.Context())
		f.hook.Name = "new"
		begun, err := delivery.New(f.db, f.journal, delivery.Options{Webhooks: []delivery.Webhook{f.hook}, Now: f.clock})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second call changes nothing
			if err := begun.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.push("team/app:after")
		}
		f.start()
		f.want(true, "team/app:after")
	})
}

func TestEntriesAreDeliveredInOrder(t *testing.T) { storetest.Each(t, testEntriesAreDeliveredInOrder) }

func testEntriesAreDeliveredInOrder(t *testing.T, d storetest.Database) {
	f := newFixture(t, d.New(t))
	var want []string
	for i := range 200 {
		want = append(want, fmt.Sprintf("team/app-%d:v%d", i%3, i))
	}
	f.push(want[:150]...)
	f.round()
	f.push(want[150:]...)
	f.driver.Release(t.Context())
	f.start()
	f.want(true, want...)
	if s := f.status(); s.Behind != 0 || !s.Oldest.IsZero() {
		t.Errorf("the status is %+v", s)
	}
	attempts, err := f.d.Attempts(t.Context(), "ci", 1000)
	if err != nil || len(attempts) != delivery.MaxLogged || attempts[0].Position != 200 || attempts[0].Status != 204 || attempts[0].Number != 1 {
		t.Errorf("%d attempts, error %v", len(attempts), err)
	}
}

// The specification Standard Webhooks recommends these waits.
func TestFailuresAreRetriedForFiveDays(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	f.to.answer = func(string, string) int { return 500 }
	f.push("team/app:v1", "team/app:v2")
	for f.status().Off == "" {
		f.now = f.now.Add(f.round())
	}
	var waits []time.Duration
	for i, r := range f.to.received[1:] {
		waits = append(waits, r.At.Sub(f.to.received[i].At))
	}
	const h = time.Hour
	want := []time.Duration{5 * time.Second, 5 * time.Minute, h / 2, 2 * h, 5 * h, 10 * h, 10 * h, 10 * h, 10 * h, 10 * h, 10 * h, 10 * h, 10 * h, 10 * h, 10 * h, 10 * h, 10 * h}
	if diff := cmp.Diff(want, waits[:min(len(waits), len(want))]); diff != "" || len(waits) != len(want) {
		t.Errorf("waits want (-), got (+):\n%s", diff)
	}
	if got := f.services(); !slices.Equal(got, []string{"webhook.off"}) || f.status().Off != delivery.OffFailing {
		t.Errorf("the journal has %v, the status is %q", got, f.status().Off)
	}
	if slices.Contains(f.to.tags(true), "team/app:v2") {
		t.Error("an entry was sent before an earlier one of its repository")
	}
}

func TestAnEndpointThatWasDownGetsEverything(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	down := true
	f.to.answer = func(string, string) int {
		if down {
			return 0
		}
		return 200
	}
	perRepository := make(map[string][]string)
	for i := range 300 {
		name := fmt.Sprintf("team/app-%d:v%d", i%150, i)
		f.push(name)
		repository, _, _ := strings.Cut(name, ":")
		perRepository[repository] = append(perRepository[repository], name)
		f.round()
		f.now = f.now.Add(5 * time.Minute)
	}
	if n := len(f.to.received); n > 12 {
		t.Errorf("%d attempts in 25 hours", n)
	}
	if s := f.status(); s.Behind != 300 || !s.Oldest.Equal(noon) || s.Off != "" {
		t.Errorf("the status is %+v", s)
	}
	down = false
	f.now = f.now.Add(10 * time.Hour)
	f.round()
	got := make(map[string][]string)
	for _, name := range f.to.tags(false) {
		repository, _, _ := strings.Cut(name, ":")
		got[repository] = append(got[repository], name)
	}
	if diff := cmp.Diff(perRepository, got); diff != "" {
		t.Errorf("want (-), received (+):\n%s", diff)
	}
	if !strings.Contains(f.log.String(), "the webhook works again") {
		t.Errorf("the log has:\n%s", &f.log)
	}
}

func TestOneRefusedEntryDelaysOnlyItsRepository(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	f.to.answer = func(_, tag string) int {
		if tag == "bad" {
			return 413
		}
		return 200
	}
	f.push("a:1", "a:bad", "b:1", "a:2", "b:2")
	f.round()
	f.want(false, "a:1", "b:1", "b:2")
	for day := range 6 {
		f.now = f.now.Add(24 * time.Hour)
		f.push(fmt.Sprintf("b:day%d", day), fmt.Sprintf("a:day%d", day))
		f.round()
	}
	// Remove the entry which records that a:bad was skipped.
	f.to.received = slices.DeleteFunc(f.to.received, func(r received) bool { return r.Subject == "ci" })
	f.want(false, "a:1", "b:1", "b:2", "b:day0", "b:day1", "b:day2", "b:day3", "a:2", "a:day0", "a:day1", "a:day2", "a:day3", "b:day4", "a:day4", "b:day5", "a:day5")
	if got := f.services(); !slices.Equal(got, []string{"webhook.skip"}) {
		t.Errorf("the journal has %v", got)
	}
	if s := f.status(); s.Off != "" || s.Waiting != 0 || s.Behind != 0 {
		t.Errorf("the status is %+v", s)
	}
}

// Otherwise, anyone who may push to two repositories could stop a webhook whose endpoint refuses
// some content, and have it switched off after five days.
func TestThreatRefusedEntriesDoNotStopAWebhook(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	f.to.answer = func(_, tag string) int {
		if tag == "bad" {
			return 400
		}
		return 200
	}
	f.push("x:bad", "y:bad")
	var want []string
	for i := range 6 * 24 {
		want = append(want, fmt.Sprintf("good:%d", i))
		f.push(want[i])
		for began := f.now; f.now.Before(began.Add(time.Hour)); {
			f.now = f.now.Add(min(f.round(), began.Add(time.Hour).Sub(f.now)))
		}
		if got := f.to.tags(false); len(got) <= i {
			t.Fatalf("after %d hours, %d entries were accepted", i+1, len(got))
		}
	}
	// Remove the entries about the skipped entries.
	f.to.received = slices.DeleteFunc(f.to.received, func(r received) bool { return r.Subject == "ci" })
	f.want(false, want...)
	if got := f.services(); !slices.Equal(got, []string{"webhook.skip", "webhook.skip"}) {
		t.Errorf("the journal has %v", got)
	}
}

// If the endpoint refuses entries of very many repositories, memory stays bounded.
func TestTheNumberOfWaitingRepositoriesIsLimited(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	f.to.answer = func(_, tag string) int {
		if tag == "bad" {
			return 400
		}
		return 200
	}
	for i := range delivery.MaxBacklogs + 20 {
		f.push(fmt.Sprintf("bad-%d:bad", i), "good:"+fmt.Sprint(i))
	}
	f.round()
	if s := f.status(); s.Waiting != delivery.MaxBacklogs || s.Behind == 0 {
		t.Errorf("%d repositories wait, %d entries behind", s.Waiting, s.Behind)
	}
}

func TestStatus410SwitchesTheWebhookOff(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	f.to.answer = func(string, string) int { return http.StatusGone }
	f.push("a:1", "b:1")
	f.round()
	f.want(true, "a:1")
	if got := f.services(); !slices.Equal(got, []string{"webhook.off"}) || f.status().Off != delivery.OffGone {
		t.Errorf("the journal has %v, the status is %q", got, f.status().Off)
	}
}

func TestALargeEntryIsShortened(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	actor := strings.Repeat("<", delivery.MaxBody)
	if err := f.journal.Append(t.Context(), journal.Entry{Change: &journal.Change{Actor: "a", Action: "rule.add", To: map[string]any{"x": actor}}}); err != nil {
		t.Fatal(err)
	}
	f.push("a:1")
	f.round()
	if len(f.to.received) != 2 {
		t.Fatalf("%d messages were received", len(f.to.received))
	}
	if body := f.to.received[0].Body; len(body) > 4096 || !strings.Contains(body, `"omitted":true`) || !strings.Contains(body, `"position":1`) {
		t.Errorf("the message has %d bytes: %.300s", len(body), body)
	}
}

func TestAMessageIsACloudEvent(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	f.push("team/app:v1")
	f.round()
	got := f.to.received[0]
	var e map[string]any
	if err := json.Unmarshal([]byte(got.Body), &e); err != nil {
		t.Fatal(err)
	}
	data, _ := e["data"].(map[string]any)
	delete(e, "data")
	want := map[string]any{
		"specversion": "1.0", "id": got.ID, "source": "tidewaiter", "type": "io.github.tidewaiter.event.push", "subject": "team/app",
		"time": "2026-11-30T12:00:00Z", "datacontenttype": "application/json",
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if data["id"] != got.ID || data["registry"] != "r" || data["position"] != 1.0 {
		t.Errorf("the data is %v", data)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	f := newFixture(t, "sqlite::memory:")
	const secret = "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"
	key, err := signature.Parse("whsec_" + secret)
	if err != nil {
		t.Fatal(err)
	}
	f.hook.Keys = []signature.Key{key}
	f.driver.Release(t.Context())
	f.start()
	f.to.answer = func(string, string) int { return 0 }
	f.push("a:1")
	for f.status().Off == "" {
		f.now = f.now.Add(f.round())
	}
	attempts, err := f.d.Attempts(t.Context(), "ci", 100)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%+v %+v %s %s", f.status(), attempts, delivery.Problems([]delivery.Status{f.status()}), f.log.String())
	for e, err := range f.journal.Read(t.Context(), 0) {
		text, _ := json.Marshal(e)
		fmt.Fprintln(&out, string(text), err)
	}
	for _, part := range []string{secret, "canary"} {
		if strings.Contains(out.String(), part) {
			t.Errorf("%s is shown", part)
		}
	}
	if strings.Contains(fmt.Sprint(attempts)+f.log.String(), "secret-path") {
		t.Error("the path of the URL is shown")
	}
}
