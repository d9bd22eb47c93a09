package tidewaiter

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/part"
)

// Made is what a command says of what it made, as far as tests look at it.
type Made struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// Command runs the command with the config of the running service, as its administrator would beside it.
func (tw *Tidewaiter) Command(t testing.TB, stdin string, args ...string) (made Made) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Program(t), append(args, "--config", tw.Config, "--output", "json")...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := part.Run(t.Context(), cmd)
	if err != nil {
		t.Fatalf("tidewaiter %s: %v", strings.Join(args, " "), err)
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatalf("tidewaiter %s printed %s", strings.Join(args, " "), out)
	}
	return made
}

// Asked is what the token endpoint said to somebody: the status, and a refresh token if it gave one.
type Asked struct {
	Status  int
	Refresh string
}

// Ask signs in as docker login does, which wants a refresh token. Without a name, the secret is such a token.
func (tw *Tidewaiter) Ask(t testing.TB, name, secret, service string) Asked {
	t.Helper()
	var req *http.Request
	var err error
	if name == "" {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {secret}, "service": {service}, "client_id": {"docker"}}
		req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, tw.URL+"/token", strings.NewReader(form.Encode()))
	} else {
		query := url.Values{"service": {service}, "account": {name}, "client_id": {"docker"}, "offline_token": {"true"}}
		req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, tw.URL+"/token?"+query.Encode(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if name == "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		req.SetBasicAuth(name, secret)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct {
		Refresh string `json:"refresh_token"`
	}
	if res.StatusCode == http.StatusOK {
		if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
			t.Fatal(err)
		}
	}
	return Asked{res.StatusCode, body.Refresh}
}
