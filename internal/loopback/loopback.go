// Package loopback answers, for tests: which port can a server be told to listen at?
//
// A port that was found free and let go can be anybody's before the server listens at it: another
// test's, or that of an outgoing connection. So it is held for as long as the test runs.
package loopback

import "testing"

// Port returns a port of 127.0.0.1 that nobody but the test's own servers listens at until the
// test ends.
func Port(t testing.TB) int {
	t.Helper()
	port, release, err := Hold()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return port
}
