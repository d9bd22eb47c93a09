package app_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/await"
	"github.com/tidewaiter/tidewaiter/internal/server"
)

// A push that a registry reports arrives at the webhook, with a signature that the receiver can
// verify.
func TestAWebhookReceivesPushes(t *testing.T) {
	const secret = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	var got atomic.Pointer[string]
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			w.WriteHeader(http.StatusGone)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		key, _ := base64.StdEncoding.DecodeString(secret)
		mac := hmac.New(sha256.New, key)
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), body)
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("webhook-signature") != want {
			t.Errorf("the signature is %s, want %s", r.Header.Get("webhook-signature"), want)
		}
		var e struct{ Type, Subject string }
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
		}
		text := e.Type + " " + e.Subject
		got.Store(&text)
	}))
	defer receiver.Close()
	f := newFolder(t)
	cfg := f.load(anyPort + rule("a") + fmt.Sprintf("notifications: { open: true }\nwebhooks: [{ name: ci, url: %q, secrets: [{ secret: whsec_%s }], private_addresses: true }", receiver.URL, secret) +
		fmt.Sprintf(", { name: former, url: %q, secrets: [{ secret: whsec_%s }], private_addresses: true }]\n", receiver.URL+"/gone", secret))
	a, err := app.New(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, a)
	await.Until(t, "the webhooks are known", func(ctx context.Context) error {
		list, err := a.Delivery().Status(ctx)
		for _, s := range list {
			if !s.Known {
				err = errors.New("it has no state yet")
			}
		}
		return err
	})
	r := httptest.NewRequest("POST", "/notifications", strings.NewReader(`{"events":[{"id":"1","timestamp":"2026-11-30T12:00:00Z","action":"push","target":{"repository":"team/app","tag":"v1"}}]}`))
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("Content-Type", "application/vnd.docker.distribution.events.v1+json")
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	await.Until(t, "the push is delivered", func(context.Context) error {
		if text := got.Load(); text == nil {
			return errors.New("nothing was received")
		} else if *text != "io.github.tidewaiter.event.push team/app" {
			t.Fatalf("received %s", *text)
		}
		return nil
	})
	get := func(path string, group server.EndpointGroup) string {
		w := httptest.NewRecorder()
		a.Handler(group).ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Body.String()
	}
	await.Until(t, "the states are known", func(context.Context) error {
		const note = "webhook former: it is switched off: the endpoint answered with status 410"
		if text := get("/readyz", "health"); !strings.Contains(text, note) {
			return fmt.Errorf("/readyz: %s", text)
		}
		text := get("/metrics", "metrics")
		for _, line := range []string{`tidewaiter_webhook_on{webhook="former"} 0`, `tidewaiter_webhook_on{webhook="ci"} 1`, `tidewaiter_webhook_failures{webhook="ci"} 0`} {
			if !strings.Contains(text, line+"\n") {
				return fmt.Errorf("/metrics does not have %s", line)
			}
		}
		return nil
	})
}
