// Package e2e answers: does it work with what people really run?
//
// Its tests start real registries (2.8, 3.0 and 3.1), put a real Tidewaiter before them, and use them
// with the clients that people have: a Docker Engine, podman, skopeo, crane, oras, regctl, Helm and
// containerd's resolver. People and programs show whatever Tidewaiter takes: passwords, tokens, secrets of
// robots, ID tokens; a real OpenLDAP and issuers of ID tokens vouch for some. What works is written to
// docs/compatibility.md.
//
// What they need is in Debian's packages docker-registry, docker.io, podman, skopeo, slapd,
// ldap-utils, openssl, apache2-utils, nginx and caddy, and an Engine and podman need root. A test
// whose part is missing is skipped, and fails where CI=true. All of it runs on loopback and in
// temporary folders. Only programs that are compiled stay, in bin/e2e.
//
//   - part: programs that a test starts, waits for, and always ends
//   - image: tiny images, as an OCI layout
//   - registry: the registries
//   - engine: a Docker Engine
//   - client: the clients, one file each
//   - keyless: issuers of ID tokens
//   - tidewaiter: the binary under test
package e2e
