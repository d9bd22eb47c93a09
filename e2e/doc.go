// Package e2e answers: does it work with what people really run?
//
// Its tests start real registries (2.8, 3.0 and 3.1), put a real Tidewaiter before them, and use them
// with the clients that people have: a Docker Engine, podman, skopeo, crane, oras, regctl, Helm and
// containerd's resolver. What works is written to docs/compatibility.md.
//
//   - part: programs that a test starts, waits for, and always ends
//   - image: tiny images, as an OCI layout
//   - registry: the registries
//   - engine: a Docker Engine
//   - client: the clients, one file each
//   - tidewaiter: the binary under test
package e2e
