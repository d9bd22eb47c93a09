//go:build unix

package when

import "syscall"

// chrootAttributes returns the attributes for running a program with another root folder.
func chrootAttributes(root string) *syscall.SysProcAttr { return &syscall.SysProcAttr{Chroot: root} }
