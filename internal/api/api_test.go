package api_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidewaiter/tidewaiter/internal/admin"
)

func TestUsersAreManagedOverHTTP(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, h *harness) {
		h.addUser("root", admin.Administrators)
		root := with("root")
		r := h.requireStatus(201, root, "POST", "/users", fields{"name": "ann", "password": secretOf("ann")})
		if got := r.Header.Get("Location"); got != "/api/v1/users/ann" {
			t.Errorf("Location: %s", got)
		}
		ann := h.read(r)
		etag := r.Header.Get("ETag")
		if got := h.read(h.requireStatus(200, root, "GET", "/users/ann", nil)); cmp.Diff(ann, got) != "" {
			t.Errorf("after adding it: %s", cmp.Diff(ann, got))
		}
		h.requireStatus(409, root, "POST", "/users", fields{"name": "ann", "password": secretOf("ann")})
		h.requireStatus(200, root, "POST", "/users/ann/disable", nil, header("If-Match", etag))
		h.requireStatus(412, root, "POST", "/users/ann/enable", nil, header("If-Match", etag))
		h.requireStatus(401, with("ann"), "GET", "/whoami", nil)
		h.requireStatus(200, root, "POST", "/users/ann/enable", nil)
		h.requireStatus(200, with("ann"), "GET", "/whoami", nil)
		h.requireStatus(200, root, "PUT", "/users/ann/expiry", fields{"expires": "2026-11-24T12:00:00Z"})
		h.requireStatus(200, root, "PUT", "/users/ann/expiry", fields{"expires": nil})
		h.requireStatus(204, root, "DELETE", "/users/ann", nil)
		h.requireStatus(404, root, "GET", "/users/ann", nil)
	})
}
