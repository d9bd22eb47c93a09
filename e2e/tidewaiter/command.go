package tidewaiter

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/e2e/process"
)

// Made is the output of a command that creates something, with the fields that tests use.
type Made struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// Command runs a command with the config of the running service, like an administrator.
func (tw *Tidewaiter) Command(t testing.TB, stdin string, args ...string) (made Made) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Program(t), append(args, "--config", tw.Config, "--output", "json")...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := process.Run(t.Context(), cmd)
	if err != nil {
		t.Fatalf("tidewaiter %s: %v", strings.Join(args, " "), err)
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatalf("tidewaiter %s printed %s", strings.Join(args, " "), out)
	}
	return made
}

// Asked is a response of the token endpoint: the status, and the refresh token if the endpoint
// issued one.
type Asked struct {
	Status  int
	Refresh string
}

// Ask signs in like docker login, which requests a refresh token. If name is "", the secret is a
// refresh token.
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
