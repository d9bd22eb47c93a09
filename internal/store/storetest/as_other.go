//go:build !unix

package storetest

import (
	"os/user"
	"syscall"
)

// attributes returns nil, because PostgreSQL runs as the user who runs the test on this system.
func attributes(*user.User) *syscall.SysProcAttr { return nil }
