//go:build !unix

package hook

import "os/exec"

// group does nothing, because there are no process groups.
func group(*exec.Cmd) {}

func endGroup(c *exec.Cmd) {
	if c.Process != nil {
		_ = c.Process.Kill()
	}
}
