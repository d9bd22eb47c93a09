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
		Short: "Create and print the root that registries trust",
	}
	cmd.AddCommand(newKeyNew(), newKeyBundle(), newKeyJWKS())
	return cmd
}

func newKeyNew() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Create a root certificate and its key",
		Long: `Create a root: cert.pem, the rootcertbundle of registries, and privatekey.pem, the key that signs. Anyone
who has this key, or a certificate issued under this root, can sign tokens: use it for Tidewaiter
alone. Existing files are not overwritten.`,
		Example: "  tidewaiter key new --dir keys",
	}
	dir := cmd.Flags().String("dir", "keys", "the `folder` for cert.pem and privatekey.pem")
	algorithm := newChoice(token.ES256, token.Algorithms())
	cmd.Flags().Var(algorithm, "algorithm", "the algorithm of the key; registry 2.8 supports all but EdDSA")
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
		fmt.Fprintf(cmd.OutOrStdout(), "%s  the rootcertbundle for registries\n%s  the private key: keep it secret\n", certificate, key)
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
		Long: `Print the root's public key as a JSON Web Key Set, for the jwks setting of registry 3. A registry finds
the key by its kid. Registries compute the kid in different ways: choose one with --kid-form. The
default is every form that the config's registries use. Registries with "key_id: x5c" need no key set:
they verify tokens with the root's certificate (tidewaiter key bundle).`,
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

// usedForms returns the kid forms of a config's registries, or the form of new registries if there are
// none.
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

// root reads the root of the config, or the one in the folder --keys, which needs no config. The config
// is then nil, unless --config was given.
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

// choice is a flag whose value is one of some words.
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
		return errors.New("must be one of " + c.Type())
	}
	c.value = T(s)
	return nil
}
