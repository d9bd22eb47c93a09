package loopback

import (
	"fmt"
	"syscall"
)

// Hold returns a port that is reserved until the function release is called. It binds a socket
// with SO_REUSEADDR, but does not listen on it. So Linux does not assign the port to a socket that
// requests any free port. A server that requests this port by its number can listen on it, because
// servers in all languages set SO_REUSEADDR.
func Hold() (port int, release func(), err error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("looking for a free port: %w", err)
	}
	release = func() { _ = syscall.Close(socket) }
	err = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	var at syscall.Sockaddr
	if err == nil {
		at, err = syscall.Getsockname(socket)
	}
	if err != nil {
		release()
		return 0, nil, fmt.Errorf("looking for a free port: %w", err)
	}
	return at.(*syscall.SockaddrInet4).Port, release, nil
}
