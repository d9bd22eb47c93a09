//go:build unix

package external

import (
	"os/exec"
	"syscall"
)

// group puts c into a process group of its own, which ends with it when its time is over.
func group(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error {
		endGroup(c)
		return nil
	}
}

// endGroup ends all of the group. It is called while something of it is there.
func endGroup(c *exec.Cmd) {
	if c.Process != nil {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	}
}
