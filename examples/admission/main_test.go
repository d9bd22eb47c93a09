package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPodsPullWhatTheirNamespaceMay(t *testing.T) {
	compiled, err := compile("policy.yaml", policyYAML)
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2036, 11, 23, 12, 0, 0, 0, time.UTC)
	a := admission{policy: compiled, registry: "registry.example.com", now: func() time.Time { return noon }}
	for _, tt := range []struct{ namespace, containers, message string }{
		{"shop", `"containers":[{"image":"registry.example.com/shop/web:v1"},{"image":"registry.example.com/base/debian@sha256:0123"}]`, ""},
		{"shop", `"containers":[{"image":"other.example.com/anything"}]`, ""},
		{"shop", `"containers":[]`, ""},
		{"blog", `"containers":[{"image":"registry.example.com/shop/web:v1"}]`, `workload:k8s:blog may not pull shop/web: pull: no rule allows it`},
		{"shop", `"containers":[{"image":"registry.example.com/shop/legacy"}]`, `workload:k8s:shop may not pull shop/legacy: pull: denied by "no legacy images" (policy.yaml:5)`},
		{"blog", `"initContainers":[{"image":"registry.example.com/shop/a"}],"containers":[{"image":"registry.example.com/base/a"}]`, `shop/a`},
		{"blog", `"ephemeralContainers":[{"image":"registry.example.com/shop/a"}]`, `shop/a`},
		{"shop", `"containers":[{"image":"registry.example.com/shop/../base"}]`, `is not an image`},
	} {
		body := fmt.Sprintf(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1","namespace":%q,"object":{"spec":{%s}}}}`, tt.namespace, tt.containers)
		w := httptest.NewRecorder()
		a.validate(w, httptest.NewRequest("POST", "/", strings.NewReader(body)))
		var got review
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || got.Response == nil || got.Response.UID != "u1" || got.Kind != "AdmissionReview" {
			t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
		}
		if got.Response.Allowed != (tt.message == "") {
			t.Errorf("%s %s: allowed: %v", tt.namespace, tt.containers, got.Response.Allowed)
		}
		if tt.message != "" && !strings.Contains(got.Response.Status.Message, tt.message) {
			t.Errorf("%s %s: %q, want %q", tt.namespace, tt.containers, got.Response.Status.Message, tt.message)
		}
	}
	for _, bad := range []string{"", "{}", "[]"} {
		w := httptest.NewRecorder()
		a.validate(w, httptest.NewRequest("POST", "/", strings.NewReader(bad)))
		if w.Code != 400 {
			t.Errorf("%q: status %d", bad, w.Code)
		}
	}
}
