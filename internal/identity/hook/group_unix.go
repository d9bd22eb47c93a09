//go:build unix

package hook

import (
	"os/exec"
	"syscall"
)

// setProcessGroup starts c in its own process group. When its context ends, the whole group is
// killed.
func setProcessGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error {
		endGroup(c)
		return nil
	}
}

// endGroup kills the group. At least one process of the group must still exist.
func endGroup(c *exec.Cmd) {
	if c.Process != nil {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	}
}
