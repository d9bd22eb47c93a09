//go:build !unix

package storetest

import (
	"os/user"
	"syscall"
)

// attributes: elsewhere PostgreSQL runs as whoever runs the test.
func attributes(*user.User) *syscall.SysProcAttr { return nil }
