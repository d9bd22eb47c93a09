package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/journal"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/internal/text/texttest"
	"github.com/tidewaiter/tidewaiter/policy"
)

// Strangers can choose names and claims. Invisible characters in such texts must not reach the
// terminal. A program that decodes the JSON must get the original values.
func TestOutputIsPrintable(t *testing.T) {
	for _, h := range texttest.All {
		e := journal.Entry{Decision: &journal.Decision{
			Principal: &policy.Principal{Name: h.Text, Source: h.Text, Groups: []string{h.Text}, Claims: map[string]any{h.Text: h.Text}},
			Client:    h.Text, Credential: h.Text,
		}}
		var b bytes.Buffer
		format := "json"
		s := &session{out: &b, output: &format}
		plain, _ := json.Marshal(e)
		for how, write := range map[string]func() error{
			"in a line": func() error { p := s.newEntryPrinter(false); return errors.Join(p.print(e), p.flush()) },
			"indented":  func() error { return s.writeJSON(e) },
		} {
			b.Reset()
			var got, want any
			err := errors.Join(write(), json.Unmarshal(plain, &want), json.Unmarshal(b.Bytes(), &got))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: %v: printed as %s, want %s", h.Harm, how, err, b.Bytes(), plain)
			}
			if printed := strings.ReplaceAll(b.String(), "\n", ""); !text.Printable(printed) {
				t.Errorf("%s, %s: the character reached the terminal: %q", h.Harm, how, printed)
			}
		}
		change := journal.Entry{Change: &journal.Change{From: map[string]any{h.Text: h.Text}, To: map[string]any{h.Text: h.Text}}}
		for _, rows := range [][][]string{details(&e), details(&change)} {
			for _, row := range rows {
				if shown := strings.Join(row, ""); !text.Printable(shown) {
					t.Errorf("%s: the character reached the terminal: %q", h.Harm, shown)
				}
			}
		}
	}
}

func TestOnlyTerminalsGetColour(t *testing.T) {
	var b strings.Builder
	if paintFor(&b) {
		t.Error("output that is not a terminal would be coloured")
	}
	const text = "a.yaml:1:2: wrong\n 1 | here\n   |  ^"
	if got := highlight(text, false); got != text {
		t.Errorf("without colour: %q", got)
	}
	want := "\x1b[1ma.yaml:1:2:\x1b[0m wrong\n 1 | here\n\x1b[31m   |  ^\x1b[0m"
	if got := highlight(text, true); got != want {
		t.Errorf("with colour: %q", got)
	}
}

func TestHealthChecksReachListenersOnThisMachine(t *testing.T) {
	for _, tt := range []struct {
		listens, at string
		own         bool
	}{
		{":8443", "127.0.0.1:8443", true},
		{"0.0.0.0:8443", "127.0.0.1:8443", true},
		{"[::]:8443", "[::1]:8443", true},
		{"localhost:8443", "localhost:8443", true},
		{"127.0.0.2:8443", "127.0.0.2:8443", true},
		{"[::1]:8443", "[::1]:8443", true},
		{"10.0.0.1:8443", "10.0.0.1:8443", false}, // not loopback, so the certificate is verified
		{"auth.example.com:443", "auth.example.com:443", false},
	} {
		at, own, err := reachableAddress(tt.listens)
		if err != nil || at != tt.at || own != tt.own {
			t.Errorf("%s: %s, %v, %v; want %s, %v", tt.listens, at, own, err, tt.at, tt.own)
		}
	}
	for _, address := range []string{"localhost:0", "localhost", "localhost:"} {
		if at, _, err := reachableAddress(address); err == nil {
			t.Errorf("%s: the health check would use %s", address, at)
		}
	}
}
