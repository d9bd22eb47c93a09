package ldaptest

import (
	"os/exec"
	"syscall"
)

// endWithParent lets a program end when this one does, even if it is killed.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
