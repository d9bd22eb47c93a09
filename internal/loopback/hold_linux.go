package loopback

import (
	"fmt"
	"syscall"
)

// Hold returns a port that is held until release is called. The socket is bound with
// SO_REUSEADDR and does not listen. Linux then assigns the port to no socket that asks for any
// port. A server that names the port can listen on it, because servers in all languages set that
// option.
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
