package api_test

import (
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

func TestWebhooksAreManaged(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addMember("root", admin.Administrators)
		_, secret := h.createToken("root", "t")
		root := bearer(secret)
		for _, tt := range []struct{ method, path, state string }{
			{"POST", "/webhooks/ci/disable", "off"},
			{"POST", "/webhooks/ci/resend", "off"},
			{"POST", "/webhooks/ci/enable", "on"},
		} {
			var body any
			if strings.HasSuffix(tt.path, "resend") {
				body = fields{"since": "2026-11-23T11:00:00Z"}
			}
			if got := h.read(h.requireStatus(200, root, tt.method, tt.path, body)); got["state"] != tt.state {
				t.Errorf("%s: %v", tt.path, got)
			}
		}
		got := h.requireStatus(200, root, "GET", "/webhooks", nil)
		if !strings.Contains(got.Body, `"host":"ci.example.com"`) || strings.Contains(got.Body, "canary") {
			t.Errorf("the list is %s", got.Body)
		}
		if got := h.read(h.requireStatus(200, root, "POST", "/webhooks/ci/test", nil)); got["status"] != 202.0 || got["problem"] != nil {
			t.Errorf("the test: %v", got)
		}
		changes := h.requireStatus(200, root, "GET", "/journal?kind=change&limit=3", nil).Body
		for _, sentence := range []string{"webhook ci switched off", "webhook ci switched on", "entries since 2026-11-23T11:00:00Z are sent to webhook ci again"} {
			if !strings.Contains(changes, sentence) {
				t.Errorf("the journal does not have %q: %s", sentence, changes)
			}
		}
	})
}
