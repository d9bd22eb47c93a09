package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/delivery/signature"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	other  = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
	push   = `{"type":"io.github.tidewaiter.event.push","data":{"registry":"r","event":{"repository":"team/app","tag":"v1","digest":"sha256:00","actor":"ann"}}}`
)

func TestOnlyGenuineMessagesAreHandledOnce(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		about   string
		secrets []string // of the webhook
		body    string   // the body that is received; "": the body that was signed
		age     time.Duration
		status  int
	}{
		{"the secret", []string{secret}, "", 0, 204},
		{"a new and an old secret", []string{other, secret}, "", 0, 204},
		{"another secret", []string{other}, "", 0, 401},
		{"another body", []string{secret}, strings.Replace(push, "v1", "v2", 1), 0, 401},
		{"a recorded message", []string{secret}, "", 6 * time.Minute, 401},
		{"a message from the future", []string{secret}, "", -6 * time.Minute, 401},
	} {
		var out bytes.Buffer
		r, err := newReceiver(secret, &out)
		if err != nil {
			t.Fatal(err)
		}
		r.now = func() time.Time { return now }
		sent := now.Add(-tt.age)
		var signatures []string
		for _, s := range tt.secrets {
			key, err := signature.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			signatures = append(signatures, key.Sign("1", sent, []byte(push)))
		}
		body := push
		if tt.body != "" {
			body = tt.body
		}
		for range 2 { // the message is sent twice
			q := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			q.Header.Set("webhook-id", "1")
			q.Header.Set("webhook-timestamp", signature.Timestamp(sent))
			q.Header.Set("webhook-signature", strings.Join(signatures, " "))
			w := httptest.NewRecorder()
			r.ServeHTTP(w, q)
			if w.Code != tt.status {
				t.Errorf("%s: status %d, want %d", tt.about, w.Code, tt.status)
			}
		}
		want := ""
		if tt.status == 204 {
			want = fmt.Sprintf("%q pushed %q %q with digest %q to %q\n", "ann", "team/app", "v1", "sha256:00", "r")
		}
		if out.String() != want {
			t.Errorf("%s: printed %q, want %q", tt.about, &out, want)
		}
	}
}

func TestTheMemoryForIdsIsBounded(t *testing.T) {
	r, err := newReceiver(secret, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxSeen {
		if !r.isNew(fmt.Sprint(i)) {
			t.Fatalf("%d is not new", i)
		}
	}
	if len(r.seen) > maxSeen || len(r.order) > maxSeen {
		t.Errorf("%d ids are stored", len(r.seen))
	}
}
