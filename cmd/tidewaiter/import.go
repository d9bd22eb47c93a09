package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/dockerauth"
	"github.com/tidewaiter/tidewaiter/internal/setup"
	"github.com/tidewaiter/tidewaiter/internal/text"
)

func newImport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Import from docker_auth or an htpasswd file",
	}
	cmd.AddCommand(newImportDockerAuth(), newImportHTPasswd())
	return cmd
}

func newImportDockerAuth() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "docker-auth CONFIG.YML",
		Aliases: []string{"docker_auth"},
		Short:   "Convert a config of docker_auth",
		Long: `Convert a config of docker_auth into one that decides the same. The rules of docker_auth are an ordered
list, those of Tidewaiter have no order. If a rule has no exact equivalent, its line is reported and
nothing is written. The report lists what is left to do, what docker_auth does there that is rarely
intended (a trap), and what was changed or left out. It is also at the top of the written file. Only
you can read that file, because it contains password hashes.`,
		Example: `  tidewaiter import docker-auth auth_config.yml --service registry.example.com -o tidewaiter.yaml
  tidewaiter check --config tidewaiter.yaml`,
		Args: cobra.ExactArgs(1),
	}
	out := cmd.Flags().StringP("out", "o", setup.Config, "the `file` to write")
	force := cmd.Flags().Bool("force", false, "overwrite an existing file")
	services := cmd.Flags().StringArray("service", nil, "the service `name` of a registry (may be repeated)")
	proxies := cmd.Flags().StringArray("trusted-proxy", nil, "a `network` of trusted proxies (may be repeated)")
	output := formatFlag(cmd, "output", "")
	_ = cmd.MarkFlagFilename("out", "yaml", "yml") // fails only for an unknown flag
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, p := range *proxies {
			if _, err := netip.ParsePrefix(p); err == nil {
				continue
			}
			if _, err := netip.ParseAddr(p); err != nil {
				return usageErrorf(cmd, "--trusted-proxy: %s is not a network like 10.0.0.0/8", text.Escape(p))
			}
		}
		for _, s := range *services {
			if strings.TrimSpace(s) != s || s == "" {
				return usageErrorf(cmd, "--service must be a name without white space around it")
			}
		}
		src, err := os.ReadFile(args[0])
		if err != nil {
			return fmt.Errorf("reading the config of docker_auth: %w", err)
		}
		result, err := dockerauth.Import(args[0], src, dockerauth.Options{Services: *services, TrustedProxies: *proxies})
		if problems, ok := errors.AsType[config.Problems](err); ok {
			if *output == asJSON {
				if err := writeJSON(cmd.OutOrStdout(), imported("", dockerauth.Result{}, problems)); err != nil {
					return err
				}
				return errReported
			}
			tell(cmd.ErrOrStderr(), problems)
			fmt.Fprintln(cmd.ErrOrStderr(), "Nothing was written. Change these lines in a copy of the file and import the copy.")
			return errReported
		}
		if err != nil {
			return err
		}
		if err := writePrivately(*out, result.Text, *force); err != nil {
			return err
		}
		if *output == asJSON {
			return writeJSON(cmd.OutOrStdout(), imported(*out, *result, nil))
		}
		for _, n := range result.Notes {
			fmt.Fprintln(cmd.ErrOrStderr(), n)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: %s\nNext: tidewaiter check --config %s\n", *out, count(result.Rules, "rule", "rules"), shell(*out))
		return err
	}
	return cmd
}

// imported is the JSON form of the report.
func imported(file string, r dockerauth.Result, problems config.Problems) any {
	type note struct {
		Kind   dockerauth.Kind `json:"kind"`
		Line   int             `json:"line,omitempty"`
		Column int             `json:"column,omitempty"`
		Text   string          `json:"text"`
	}
	notes := make([]note, len(r.Notes))
	for i, n := range r.Notes {
		notes[i] = note(n)
	}
	wrong := make([]found, len(problems))
	for i, p := range problems {
		wrong[i] = found(p)
	}
	return struct {
		File     string  `json:"file,omitempty"`
		Rules    int     `json:"rules"`
		Notes    []note  `json:"notes"`
		Problems []found `json:"problems"`
	}{file, r.Rules, notes, wrong}
}

// writePrivately writes a file that only its owner can read. It appears complete or not at all.
// Without force, an existing file is an error.
func writePrivately(path string, text []byte, force bool) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), ".tidewaiter-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if force {
		return os.Rename(f.Name(), path)
	}
	err = os.Link(f.Name(), path) // unlike a rename, it never replaces a file
	if errors.Is(err, os.ErrExist) {
		return errors.New("the file exists; use --force to overwrite it")
	}
	return err
}
