// Package loopback gives tests a port for a server.
//
// A port that was free a moment ago may be taken before the server listens on it: by another
// test, or by an outgoing connection. So the port is held for as long as the test runs.
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
