//go:build unix

package when

import "syscall"

// confined returns the attributes for running a program with another root folder.
func confined(root string) *syscall.SysProcAttr { return &syscall.SysProcAttr{Chroot: root} }
