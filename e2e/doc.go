// Package e2e tests Tidewaiter with real registries and clients.
//
// Its tests start real registries (2.8, 3.0 and 3.1) with a real Tidewaiter as their token
// server. The clients are a Docker Engine, podman, skopeo, crane, oras, regctl, Helm and
// containerd's resolver. They use every kind of credential: passwords, access tokens, refresh
// tokens, robot secrets and ID tokens. Some of the passwords belong to users in a real
// OpenLDAP. The results are in docs/compatibility.md.
//
// The tests need Debian's packages docker-registry, docker.io, podman, skopeo, slapd,
// ldap-utils, openssl, apache2-utils, nginx and caddy. The Docker Engine and podman need root.
// A test that needs a missing program is skipped, or fails if CI=true. Everything runs on
// loopback and in temporary folders. Only the compiled programs in bin/e2e remain after the
// tests.
//
//   - process: external programs that tests start, wait for and stop
//   - image: tiny images, as an OCI layout
//   - registry: the registries
//   - engine: a Docker Engine
//   - client: the clients, one file each
//   - idtoken: issuers of ID tokens
//   - tidewaiter: the binary under test
package e2e
