//go:build unix

package when

import "syscall"

// confined runs a program with another root.
func confined(root string) *syscall.SysProcAttr { return &syscall.SysProcAttr{Chroot: root} }
