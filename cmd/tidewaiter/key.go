package main

import (
	"path/filepath"
	"slices"

	"github.com/tidewaiter/tidewaiter/internal/clock"
	"github.com/tidewaiter/tidewaiter/internal/keyring"
	"github.com/tidewaiter/tidewaiter/internal/setup"
	"github.com/tidewaiter/tidewaiter/token"
)

func keyCommand() command {
	return command{
		use:   "key",
		short: "Create and print the root that registries trust",
		sub: []command{{
			use:   "new",
			short: "Create a root certificate and its key",
			long: `Create a root: cert.pem, the rootcertbundle of registries, and privatekey.pem,
the key that signs. Anyone who has this key, or a certificate issued under this root, can sign
tokens: use it for Tidewaiter alone. Existing files are not overwritten.`,
			example: "  tidewaiter key new --dir keys",
			output:  true,
			flags: func(f *flags) action {
				var dir string
				f.folder(&dir, "dir", "keys", "the `folder` for cert.pem and privatekey.pem")
				algorithm := choose(f, "algorithm", "", token.ES256, "the algorithm of the key; registry 2.8 supports all but EdDSA", token.Algorithms()...)
				return func(s *session) error {
					certificate, key, err := setup.WriteRoot(dir, *algorithm, clock.Now())
					if err != nil {
						return err
					}
					return s.print(map[string]string{"certificate": certificate, "key": key},
						"%s  the rootcertbundle for registries\n%s  the private key: keep it secret", certificate, key)
				}
			},
		}, {
			use:   "bundle",
			short: "Print the certificate for a registry's rootcertbundle",
			example: `  tidewaiter key bundle > bundle.pem
  tidewaiter key bundle --keys ./signingkey > bundle.pem`,
			config: true,
			run: func(s *session) error {
				root, err := s.readRoot()
				if err != nil {
					return err
				}
				_, err = s.out.Write(root.Bundle())
				return err
			},
		}, {
			use:   "jwks",
			short: "Print the public key as a JSON Web Key Set",
			long: `Print the root's public key as a JSON Web Key Set, for the jwks setting of
registry 3. A registry finds the key by its kid. Registries compute the kid in different ways:
choose one with --kid-form. The default is every form that the config's registries use.
Registries with "key_id: x5c" need no key set: they verify tokens with the root's certificate
(tidewaiter key bundle).`,
			example: `  tidewaiter key jwks
  tidewaiter key jwks --keys ./signingkey --kid-form libtrust`,
			config: true,
			flags: func(f *flags) action {
				kids := slices.DeleteFunc(slices.Clone(token.KeyIDs()), func(k token.KeyID) bool { return k == token.X5C })
				form := choose(f, "kid-form", "", "", "the form of the kid", kids...)
				return func(s *session) error {
					root, err := s.readRoot()
					if err != nil {
						return err
					}
					forms := []token.KeyID{*form}
					if *form == "" {
						forms = s.kidForms()
					}
					set, err := root.JWKS(forms...)
					if err != nil {
						return err
					}
					return s.print(nil, "%s", set)
				}
			},
		}},
	}
}

// kidForms returns the forms of key ids (kid) for the registries in the config. If no registry
// uses a kid, it returns the form for new registries.
func (s *session) kidForms() []token.KeyID {
	var forms []token.KeyID
	if s.cfg != nil {
		for _, r := range s.cfg.Registries {
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

// readRoot reads the root certificate and its key from the files of the config, or from the folder
// that --keys names. With --keys, the config is loaded only if --config is given.
func (s *session) readRoot() (*token.Root, error) {
	if s.keys == "" || s.cmd.Flags().Changed("config") {
		if err := loadConfig(s); err != nil {
			return nil, err
		}
		return keyring.ReadRoot(s.cfg.Signing.Certificate, s.cfg.Signing.Key)
	}
	return keyring.ReadRoot(filepath.Join(s.keys, filepath.Base(setup.Certificate)), filepath.Join(s.keys, filepath.Base(setup.Key)))
}
