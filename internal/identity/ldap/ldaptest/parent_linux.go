package ldaptest

import (
	"os/exec"
	"syscall"
)

// endWithParent makes a program end when this process ends, even if this process is killed.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
