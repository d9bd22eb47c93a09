// Package loopback gives tests a port for a server.
//
// If a test only looks for a free port, the port can be taken before the server listens on it: by
// another test, or by an outgoing connection. So the port is reserved for as long as the test
// runs.
package loopback

import "testing"

// Port returns a port of 127.0.0.1 on which only servers of the test can listen until the test
// ends.
func Port(t testing.TB) int {
	t.Helper()
	port, release, err := Hold()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return port
}
