package ldaptest

import (
	"os/exec"
	"syscall"
)

// endWithParent makes a program end when this process does, even if it is killed.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
