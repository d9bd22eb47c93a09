//go:build unix

package storetest

import (
	"os/user"
	"strconv"
	"syscall"
)

// attributes returns the attributes for running a program as a user.
func attributes(as *user.User) *syscall.SysProcAttr {
	if as == nil {
		return nil
	}
	uid, _ := strconv.ParseUint(as.Uid, 10, 32) // always a number on Unix
	gid, _ := strconv.ParseUint(as.Gid, 10, 32)
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
