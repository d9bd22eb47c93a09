//go:build !unix

package hook

import "os/exec"

// group does nothing, because this system has no process groups.
func group(*exec.Cmd) {}

func endGroup(c *exec.Cmd) {
	if c.Process != nil {
		_ = c.Process.Kill()
	}
}
