package main

import "github.com/spf13/cobra"

// describeCompletion adds cobra's commands for shell completion, with help texts of our own.
func describeCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	c, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	c.Short = "Print a shell completion script"
	c.Long = fill(`Print a completion script for bash, zsh, fish or PowerShell. The script
completes commands, flags, and the values of flags that accept only certain words. Load the script
in a shell to try it, or write it to the folder where the shell looks for completion scripts.
"make install" installs the scripts of bash, zsh and fish.`)
	c.Example = `  source <(tidewaiter completion bash)       # needs the package bash-completion
  tidewaiter completion bash > /etc/bash_completion.d/tidewaiter
  tidewaiter completion zsh > "${fpath[1]}/_tidewaiter"
  tidewaiter completion fish > ~/.config/fish/completions/tidewaiter.fish
  tidewaiter completion powershell | Out-String | Invoke-Expression`
}
