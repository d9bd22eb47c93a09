//go:build !unix

package storetest

import (
	"os/user"
	"syscall"
)

// attributes returns nil: on this system, PostgreSQL runs as the user who runs the test.
func attributes(*user.User) *syscall.SysProcAttr { return nil }
