package loopback_test

import (
	"fmt"
	"net"
	"runtime"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/loopback"
)

// Several servers can listen on a reserved port, one after the other, under each name of this
// machine. No other socket gets the port.
func TestPortIsHeldForItsServers(t *testing.T) {
	port := loopback.Port(t)
	for _, address := range []string{"127.0.0.1:%d", "localhost:%d", ":%d", "0.0.0.0:%d", "127.0.0.1:%d"} {
		l, err := net.Listen("tcp", fmt.Sprintf(address, port))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []interface{ Close() error }{conn, accepted, l} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	for range 2000 { // often enough to get the port, if the port is free
		other, release, err := loopback.Hold()
		if err != nil {
			t.Fatal(err)
		}
		release()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if other == port || l.Addr().(*net.TCPAddr).Port == port {
			t.Fatalf("port %d is reserved, but another socket got it", port)
		}
		l.Close()
	}
}
