package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/bench/internal/drive"
	"github.com/tidewaiter/tidewaiter/internal/identity/ldap/ldaptest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// builtIn is the folder of the programs. It is "" until a test needs them.
var builtIn string

// buildOnce builds the programs once for all tests.
var buildOnce = sync.OnceValues(func() (p programs, err error) {
	if builtIn, err = os.MkdirTemp("", "tidewaiter-bench-"); err != nil {
		return p, err
	}
	p = programs{tidewaiter: filepath.Join(builtIn, "tidewaiter"), limit: filepath.Join(builtIn, "limit")}
	ctx := context.Background() // the programs outlive the test that needs them first
	return p, errors.Join(build(ctx, "cmd/tidewaiter", p.tidewaiter), build(ctx, "bench/limit", p.limit))
})

// newMeasurement returns a measurement with the programs and a new folder.
func newMeasurement(t *testing.T, s settings) *measurement {
	t.Helper()
	p, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	k, err := newKeys(folder)
	if err != nil {
		t.Fatal(err)
	}
	return &measurement{settings: s, programs: p, folder: folder, keys: k, progress: io.Discard}
}

// This test runs a whole comparison with a limited number of requests, and checks the answers.
func TestServersAnswerUnderLoad(t *testing.T) {
	m := newMeasurement(t, settings{})
	limit, err := startLimit(t.Context(), m.programs.limit, m.folder, 2000)
	if err != nil {
		t.Fatal(err)
	}
	defer stopped(t, limit)
	load(t, drive.TargetOptions{URL: limit.address + "/sign"})
	load(t, drive.TargetOptions{URL: limit.address + "/write"})

	for _, d := range []deployment{{name: "one", rules: 1}, {name: "many", rules: 100, reuse: true}} {
		s, err := startTidewaiter(t.Context(), m.programs.tidewaiter, m.folder, d, m.keys)
		if err != nil {
			t.Fatal(err)
		}
		defer stopped(t, s)
		for _, name := range []string{"", user} {
			if _, err := fetchToken(t.Context(), s.address, name); err != nil {
				t.Errorf("%s, asked by %q: %v", d.name, name, err)
			}
		}
		load(t, drive.TargetOptions{URL: s.address + asked, Vary: 7})
		load(t, drive.TargetOptions{URL: s.address + asked, User: user, Password: password})
		load(t, drive.TargetOptions{URL: s.address + asked, User: user, Password: password, Post: true})
		if lost, err := s.count(t.Context(), "tidewaiter_journal_lost_total"); err != nil || lost != 0 {
			t.Errorf("%s: %g decisions lost: %v", d.name, lost, err)
		}
		if bytes, err := s.residentMemory(); err != nil || bytes == 0 {
			t.Errorf("%s: %d bytes resident: %v", d.name, bytes, err)
		}
	}
}

// Requests with each kind of credential are answered by a server that also has other accounts.
func TestAccountsAnswerUnderLoad(t *testing.T) {
	m := newMeasurement(t, settings{})
	d := deployment{name: "accounts", rules: 1, accounts: true, users: noUsers, proxied: true}
	c, err := m.startWithAccounts(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(t.Context(), "sqlite:"+filepath.Join(m.folder, d.name, "state.db"), 100); err != nil {
		t.Fatal(err)
	}
	s, err := startTidewaiter(t.Context(), m.programs.tidewaiter, m.folder, d, m.keys)
	if err != nil {
		t.Fatal(err)
	}
	defer stopped(t, s)
	refresh, err := refreshToken(t.Context(), s.address)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range c.targets(s, refresh) {
		load(t, o)
	}
	people, err := s.runCommand(t.Context(), "", "user", "list", "--output", "json")
	if err != nil || !strings.Contains(people, `"person-100"`) {
		t.Errorf("people: %s: %v", people, err)
	}
}

func load(t *testing.T, o drive.TargetOptions) {
	t.Helper()
	target, err := drive.NewTarget(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := drive.Run(t.Context(), target, drive.Options{Connections: 4, Requests: 100})
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 100 || got.Failed() != 0 {
		t.Errorf("%s: %d requests, status %v, errors %v", o.URL, got.Requests, got.Status, got.Errors)
	}
}

func stopped(t *testing.T, s *server) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Errorf("stopping %s: %v\n%s", s.command.Path, err, s.outputStart())
	}
}

func TestServerThatExitsAtOnceIsReported(t *testing.T) {
	folder := t.TempDir()
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	no, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, err = start(t.Context(), address, filepath.Join(folder, "log"), no, "-no-such-flag")
	if err == nil || !strings.Contains(err.Error(), "ended before it listened") || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("a program that ended: %v", err)
	}
}

func TestTableShowsWhatIsMissed(t *testing.T) {
	bars := []bar{
		{What: "share", Unit: "%", Value: 79, Spread: drive.Spread{Min: 70, Median: 79, Max: 90}, AtLeast: percent(0.8)},
		{What: "start", Unit: "ms", Value: 49.6, AtMost: number(50), Beside: "best of ten"},
		{What: "memory", Unit: "MB", Value: 40.1, AtMost: number(40), decimals: 1},
		{What: "for information", Unit: "%", Value: 3},
	}
	var out bytes.Buffer
	if err := writeTable(&out, bars); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bar measured wanted",
		"share 79 % (70 to 90) ≥ 80 % missed",
		"start 50 ms ≤ 50 ms ok best of ten",
		"memory 40.1 MB ≤ 40.0 MB missed",
		"for information 3 % –",
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOutputsForPagesAndPrograms(t *testing.T) {
	bars := []bar{{What: "start", Unit: "ms", Value: 20, AtMost: number(50), Beside: "of ten"}}
	var out bytes.Buffer
	if err := writeMarkdown(&out, bars); err != nil {
		t.Fatal(err)
	}
	if want := "| start | 20 ms | ≤ 50 ms | ok | of ten |\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	if err := writeJSON(&out, bars); err != nil {
		t.Fatal(err)
	}
	var got []bar
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bars, got, cmp.AllowUnexported(bar{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, arguments := range [][]string{
		{"more"}, {"--output", "xml"}, {"--slice", "1m"}, {"--starts", "0"}, {"--rules", "-1"}, {"--no-such-flag"}, {"--groups", "everything"}, {"--accounts", "0"}, {"--tries", "0"},
	} {
		var out, problems bytes.Buffer
		if code := run(t.Context(), arguments, &out, &problems); code != 2 || problems.Len() == 0 {
			t.Errorf("%q: exit %d\n%s", arguments, code, problems.String())
		}
	}
}

// An event that is not recorded fails the measurement.
func TestEventsAreRecordedUnderLoad(t *testing.T) {
	m := newMeasurement(t, settings{duration: 100 * time.Millisecond, slice: 100 * time.Millisecond})
	if err := m.measureIntake(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(m.bars) != 9 {
		t.Errorf("%d bars: %+v", len(m.bars), m.bars)
	}
}

// The test runs each group of measurements of sign-ins, with only a few sign-ins. It checks the
// counts, but not the times.
func TestGroupsOnSignInsReport(t *testing.T) {
	m := newMeasurement(t, settings{tries: 2})
	for i, c := range sprayCases(4) {
		if err := m.besideSpray(t.Context(), fmt.Sprint("spray-", i), c, 4, 2, 0); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if err := m.guessed(t.Context(), "lockout", 3, 1); err != nil {
		t.Error(err)
	}
	want := []string{"2", "", "", "2", "", "", "2", "", "", "1", "5"} // the empty ones are times
	ldaptest.Need(t)
	if err := m.measureRefusals(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = append(want, "", "", "")
	var got []string
	for _, b := range m.bars {
		if b.Unit == "ms" {
			got = append(got, "")
			continue
		}
		got = append(got, b.number(b.Value))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRefusalsAreComparedWithTheUnknown(t *testing.T) {
	took := map[string][]float64{
		"unknown first": {100, 99, 150}, "unknown again": {101, 101, 102},
		"wrong first": {96, 104, 97}, "wrong again": {106, 106, 1},
	}
	got := comparedRefusals("a directory", []string{"unknown", "wrong"}, took)
	if got.Value != 6 || *got.AtMost != 5 || !got.missed() || got.Beside != "first and again, in ms: unknown 100.0 and 101.0, wrong 97.0 and 106.0" {
		t.Errorf("%+v of %g", got, *got.AtMost)
	}
}

func TestADistanceForwardsBothWaysAndEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	d, err := newLatencyProxy(l.Addr().String(), time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", d.address())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	said := bytes.Repeat([]byte("a directory far away\n"), 10_000)
	go func() { _, _ = c.Write(said) }()
	heard := make([]byte, len(said))
	if _, err := io.ReadFull(c, heard); err != nil || !bytes.Equal(said, heard) {
		t.Errorf("the received data differs from the sent data: %v", err)
	}
	if err := d.close(); err != nil { // this also ends the connection
		t.Error(err)
	}
	if _, err := c.Read(heard); err == nil {
		t.Error("the connection did not end")
	}
}
