package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// This test is a short run with a server that checks each request.
func TestLoadReportsWhatItDid(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		if name != "ann" || password != "s e c" || r.URL.Query().Get("service") != "r.example" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"token":"x"}`)
	}))
	defer server.Close()
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("s e c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := server.URL + "/token?service=r.example&scope=repository:a:pull"
	with := []string{"--url", address, "--name", "it", "--requests", "50", "--connections", "4", "--vary-scope", "3"}

	var out, problems bytes.Buffer
	if code := run(t.Context(), append(with, "--user", "ann", "--password-file", secret), &out, &problems); code != 0 {
		t.Fatalf("exit %d\n%s", code, problems.String())
	}
	for _, want := range []string{"requests/s", "p99 µs", "it: status 200: 50\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}

	out.Reset()
	if code := run(t.Context(), append(with, "--output", "json"), &out, &problems); code != 1 {
		t.Errorf("exit code %d, but every request was rejected", code)
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Targets) != 1 || got.Targets[0].Status[401] != 50 || got.Targets[0].Failed != 50 || got.Targets[0].Against != nil {
		t.Errorf("%s", out.String())
	}
}

func TestLoadComparesRoundByRound(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	defer server.Close()
	with := []string{
		"--url", server.URL + "/a", "--name", "a", "--against", "b=" + server.URL + "/b?x=y", "--settle", "0s",
		"--duration", "60ms", "--slice", "20ms", "--connections", "2",
	}
	var out, problems bytes.Buffer
	if code := run(t.Context(), append(with, "--output", "json"), &out, &problems); code != 0 {
		t.Fatalf("exit %d\n%s", code, problems.String())
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Rounds != 3 || len(got.Targets) != 2 || got.Targets[0].Against != nil || got.Targets[1].Against == nil {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	if code := run(t.Context(), with, &out, &problems); code != 0 {
		t.Fatalf("exit %d\n%s", code, problems.String())
	}
	if !strings.Contains(out.String(), "against a, round by round (3 rounds)") {
		t.Errorf("%s", out.String())
	}
}

func TestWrongUsage(t *testing.T) {
	const url = "http://127.0.0.1:1/"
	for _, tt := range []struct {
		arguments []string
		code      int
		says      string
	}{
		{nil, 2, "--url is missing"},
		{[]string{"--url", url, "more"}, 2, `unexpected argument "more"`},
		{[]string{"--url", url, "--output", "xml"}, 2, "must be text or json"},
		{[]string{"--url", url, "--user", "ann"}, 2, "must be used together"},
		{[]string{"--url", url, "--against", url}, 2, "name=url"},
		{[]string{"--url", url, "--against", "b=" + url, "--requests", "1"}, 2, "use --duration"},
		{[]string{"--url", url, "--against", "b=" + url, "--slice", "1h"}, 2, "--slice"},
		{[]string{"--url", "http://192.0.2.1/token"}, 1, "not a loopback address"},
		{[]string{"--help"}, 0, "usage: load"},
	} {
		var out, problems bytes.Buffer
		if code := run(t.Context(), tt.arguments, &out, &problems); code != tt.code || !strings.Contains(problems.String(), tt.says) {
			t.Errorf("%q: exit %d\n%s", tt.arguments, code, problems.String())
		}
	}
}
