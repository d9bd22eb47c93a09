package main

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPushesArePrintedOnce(t *testing.T) {
	var out strings.Builder
	c := consumer{secret: "canary", out: &out}
	post := func(body, authorization string) int {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		c.ServeHTTP(w, r)
		return w.Code
	}
	event := func(id, action, tag string) string {
		return fmt.Sprintf(`{"events":[{"id":%q,"action":%q,"target":{"repository":"team/app","tag":%q},"actor":{"name":"ann"}}]}`, id, action, tag)
	}
	for _, tt := range []struct {
		what, body, authorization string
		status                    int
	}{
		{"no secret", event("1", "push", "v0"), "", 401},
		{"a wrong secret", event("1", "push", "v0"), "Bearer x", 401},
		{"a push", event("1", "push", "v1"), "Bearer canary", 200},
		{"the same again", event("1", "push", "v1"), "Bearer canary", 200},
		{"another", event("2", "push", "v2"), "Bearer canary", 200},
		{"a pull", event("3", "pull", "v2"), "Bearer canary", 200},
		{"a blob", event("4", "push", ""), "Bearer canary", 200},
		{"what is no event", `{"events":[{}]}`, "Bearer canary", 200},
		{"what is nothing", `nonsense`, "Bearer canary", 200},
	} {
		if got := post(tt.body, tt.authorization); got != tt.status {
			t.Errorf("%s: status %d", tt.what, got)
		}
	}
	const want = "push team/app:v1 by ann\npush team/app:v2 by ann\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for i := range 2000 { // more ids than seen can store
		post(event(fmt.Sprint("many", i), "push", "v"), "Bearer canary")
	}
	if got := post(event("2", "push", "v2"), "Bearer canary"); got != 200 {
		t.Errorf("status %d", got)
	}
}
