//go:build !linux

package loopback

import (
	"fmt"
	"net"
)

// Hold returns a port that was free a moment ago. Only Linux can reserve a port, so here the port
// is not reserved.
func Hold() (port int, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, fmt.Errorf("looking for a free port: %w", err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	return port, func() {}, l.Close()
}
