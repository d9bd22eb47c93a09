// Command admission is a validating admission webhook for Kubernetes. It rejects a pod if the
// registry's rules do not allow the pod's namespace to pull the pod's images. The API server
// requires TLS, so run a TLS proxy in front of it.
//
//	go run ./examples/admission --registry registry.example.com
//
// In rules, a namespace is the workload k8s:NAMESPACE. Images of other registries are admitted.
// Volumes of the type image are not checked.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tidewaiter/tidewaiter/policy"
	"github.com/tidewaiter/tidewaiter/rules"
	"github.com/tidewaiter/tidewaiter/scope"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:9003", "address to listen at")
	registry := flag.String("registry", "registry.example.com", "the registry's host, which is also its service name")
	flag.Parse()
	compiled, err := compile("policy.yaml", policyYAML)
	if err == nil {
		a := admission{policy: compiled, registry: *registry, now: time.Now}
		server := &http.Server{Addr: *listen, Handler: http.HandlerFunc(a.validate), ReadTimeout: 10 * time.Second}
		err = server.ListenAndServe()
	}
	fmt.Fprintln(os.Stderr, "admission:", err)
	os.Exit(1)
}

//go:embed policy.yaml
var policyYAML []byte

func compile(name string, text []byte) (*policy.Policy, error) {
	source, _, err := rules.Read(rules.File{Name: name, Text: text})
	if err != nil {
		return nil, err
	}
	return policy.Compile(source)
}

type admission struct {
	policy   *policy.Policy
	registry string
	now      func() time.Time
}

// review has the fields of a pod's AdmissionReview (admission.k8s.io/v1) that this program needs.
type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID       string `json:"uid"`
	Namespace string `json:"namespace"`
	Object    struct {
		Spec struct {
			InitContainers, Containers, EphemeralContainers []struct{ Image string }
		} `json:"spec"`
	} `json:"object"`
}

type response struct {
	UID     string  `json:"uid"`
	Allowed bool    `json:"allowed"`
	Status  *status `json:"status,omitempty"`
}

type status struct {
	Message string `json:"message"`
}

func (a *admission) validate(w http.ResponseWriter, r *http.Request) {
	var asked review
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 8<<20)).Decode(&asked); err != nil || asked.Request == nil {
		http.Error(w, "this is not an AdmissionReview", http.StatusBadRequest)
		return
	}
	answer := response{UID: asked.Request.UID, Allowed: true}
	if refused := a.refusals(asked.Request); len(refused) > 0 {
		answer.Allowed, answer.Status = false, &status{strings.Join(refused, "; ")}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview", Response: &answer})
}

// refusals returns a sentence for each image that the namespace may not pull.
func (a *admission) refusals(r *request) (refused []string) {
	who := &policy.Principal{Kind: policy.Workload, Name: "k8s:" + r.Namespace}
	spec := r.Object.Spec
	for _, containers := range [][]struct{ Image string }{spec.InitContainers, spec.Containers, spec.EphemeralContainers} {
		for _, c := range containers {
			// The host can be in any case, and can have the default port.
			host, name, ok := strings.Cut(c.Image, "/")
			if !ok || !strings.EqualFold(strings.TrimSuffix(host, ":443"), strings.TrimSuffix(a.registry, ":443")) {
				continue
			}
			name, _, _ = strings.Cut(name, "@")
			name, _, _ = strings.Cut(name, ":")
			asked := scope.Scope{Type: scope.TypeRepository, Name: name, Actions: scope.Pull}
			if err := asked.Check(); err != nil {
				refused = append(refused, fmt.Sprintf("%q is not an image: %v", c.Image, err))
				continue
			}
			decision := a.policy.Decide(&policy.Request{Principal: who, Registry: a.registry, Scopes: []scope.Scope{asked}, Now: a.now()})
			if result := decision.Results[0]; !result.Granted.Has(scope.Pull) {
				refused = append(refused, fmt.Sprintf("%s may not pull %s: %v", who, name, result.Causes[0]))
			}
		}
	}
	return refused
}
