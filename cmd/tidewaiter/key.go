package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tidewaiter/tidewaiter/internal/app"
	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/config"
	"github.com/tidewaiter/tidewaiter/internal/setup"
	"github.com/tidewaiter/tidewaiter/token"
)

func newKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Show and make what registries trust",
	}
	cmd.AddCommand(newKeyNew(), newKeyBundle(), newKeyJWKS())
	return cmd
}

func newKeyNew() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make a root: the certificate that registries trust, and its key",
		Long: `Make a root: cert.pem, which registries are given as rootcertbundle, and privatekey.pem, which signs.
Whoever has that key, or a certificate under that root, can make tokens: keep it for Tidewaiter alone. Nothing is overwritten.`,
		Example: "  tidewaiter key new --dir keys",
	}
	dir := cmd.Flags().String("dir", "keys", "the `folder` for cert.pem and privatekey.pem")
	algorithm := newChoice(token.ES256, token.Algorithms())
	cmd.Flags().Var(algorithm, "algorithm", "of the root's key; registry 2.8 knows all but EdDSA")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		certificate, key, err := setup.WriteRoot(*dir, algorithm.value, clock.Now())
		if err != nil {
			return err
		}
		if *output == asJSON {
			return writeJSON(cmd.OutOrStdout(), struct {
				Certificate string `json:"certificate"`
				Key         string `json:"key"`
			}{certificate, key})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s  for the rootcertbundle of registries\n%s  to be kept from others\n", certificate, key)
		return nil
	}
	return cmd
}

func newKeyBundle() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Print the certificate for a registry's rootcertbundle",
		Example: `  tidewaiter key bundle > bundle.pem
  tidewaiter key bundle --keys ./signingkey > bundle.pem`,
	}
	source := configFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		root, _, err := source.root(cmd)
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(root.Bundle())
		return err
	}
	return cmd
}

func newKeyJWKS() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jwks",
		Short: "Print the public key as a JSON Web Key Set",
		Long: `Print the root's public key as a JSON Web Key Set, for the jwks setting of registry 3. A registry finds it
by its kid, and has its own way to compute that: --kid-form names it. The default is each form that the
config's registries use. Keys under the root, which sign for registries with "key_id: x5c", are in no such
set: those registries know them by the root's certificate (tidewaiter key bundle).`,
		Example: `  tidewaiter key jwks
  tidewaiter key jwks --keys ./signingkey --kid-form libtrust`,
	}
	source := configFlags(cmd)
	var kids []token.KeyID
	for _, k := range token.KeyIDs() {
		if k != token.X5C {
			kids = append(kids, k)
		}
	}
	form := newChoice("", kids)
	cmd.Flags().Var(form, "kid-form", "how registries compute the kid")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		root, cfg, err := source.root(cmd)
		if err != nil {
			return err
		}
		forms := []token.KeyID{form.value}
		if form.value == "" {
			forms = usedForms(cfg)
		}
		set, err := root.JWKS(forms...)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", set)
		return err
	}
	return cmd
}

// usedForms are the kid forms of a config's registries; the one that new registries compute if there are none.
func usedForms(cfg *config.Config) []token.KeyID {
	var forms []token.KeyID
	if cfg != nil {
		for _, r := range cfg.Registries {
			if r.KeyID != token.X5C && !slices.Contains(forms, r.KeyID) {
				forms = append(forms, r.KeyID)
			}
		}
	}
	if len(forms) == 0 {
		forms = append(forms, token.Thumbprint)
	}
	return forms
}

// root reads the root of the config, or that of --keys, for which no config is needed. The config is nil then,
// unless it was named.
func (s *source) root(cmd *cobra.Command) (*token.Root, *config.Config, error) {
	if s.keys == "" || cmd.Flags().Changed("config") {
		cfg, err := s.load()
		if err != nil {
			return nil, nil, err
		}
		root, err := app.Root(cfg)
		return root, cfg, err
	}
	certificate, err := os.ReadFile(filepath.Join(s.keys, filepath.Base(setup.Certificate)))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the root: %w", err)
	}
	key, err := os.ReadFile(filepath.Join(s.keys, filepath.Base(setup.Key)))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the root: %w", err)
	}
	root, err := token.ParseRoot(certificate, key)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the root in %s: %w", s.keys, err)
	}
	return root, nil, nil
}

// choice is a flag with one of some words as its value.
type choice[T ~string] struct {
	value T
	words []T
}

func newChoice[T ~string](standard T, words []T) *choice[T] { return &choice[T]{standard, words} }

func (c *choice[T]) String() string { return string(c.value) }

func (c *choice[T]) Type() string {
	text := ""
	for i, w := range c.words {
		if i > 0 {
			text += "|"
		}
		text += string(w)
	}
	return text
}

func (c *choice[T]) Set(s string) error {
	if !slices.Contains(c.words, T(s)) {
		return errors.New("one of " + c.Type() + " is wanted")
	}
	c.value = T(s)
	return nil
}
