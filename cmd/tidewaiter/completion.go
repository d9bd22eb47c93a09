package main

import "github.com/spf13/cobra"

// addCompletion adds the commands that print what a shell needs to complete others. They are cobra's; what is
// said of them is ours.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Short = "Print what makes a shell complete commands and flags"
		c.Long = `Print a script that makes bash, zsh, fish or PowerShell complete the commands of tidewaiter, their flags, and the
values of flags that have a few. Load it into a shell to try it; put it where the shell looks for such scripts to keep it.
"make install" puts those of bash, zsh and fish there.`
		c.Example = `  source <(tidewaiter completion bash)       # needs the package bash-completion
  tidewaiter completion bash > /etc/bash_completion.d/tidewaiter
  tidewaiter completion zsh > "${fpath[1]}/_tidewaiter"
  tidewaiter completion fish > ~/.config/fish/completions/tidewaiter.fish
  tidewaiter completion powershell | Out-String | Invoke-Expression`
	}
}
