package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v4"
)

// Found returns the options of the existing config in dir, so that Write creates missing files
// that fit this config. If there is no config, it returns false. If the config reads its root or
// its event secret from other files, Found returns an error, because the service would not use the
// files that Write creates.
func Found(dir string) (Options, bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, Config))
	if errors.Is(err, fs.ErrNotExist) {
		return Options{}, false, nil
	}
	if err != nil {
		return Options{}, false, err
	}
	// The config is not validated here, because it can name missing files that Write will create.
	var c struct {
		PublicURL string `yaml:"public_url"`
		Listen    []struct {
			Address string
			TLS     struct{ Certificate, Key string }
		}
		Database string
		Paths    struct{ Token, Notifications string }
		Token    struct{ Issuer string }

		Signing struct {
			Root struct{ Certificate, Key, Folder string }
		}
		Identity []struct {
			HTPasswd struct {
				Groups struct{ Administrators []string }
			}
		}
		Registries []struct {
			Service       string
			Preset        string
			Notifications struct {
				SecretFile string `yaml:"secret_file"`
			}
		}
	}
	if err := yaml.Load(text, &c); err != nil {
		return Options{}, false, fmt.Errorf("reading %s: %w", Config, err)
	}
	differs := func(what string) error {
		return fmt.Errorf("the %s in %s differs from what init writes: use another folder to start over", what, Config)
	}
	root := c.Signing.Root
	switch {
	case (root.Certificate != Certificate || root.Key != Key) && filepath.Clean(root.Folder) != filepath.Dir(Key):
		return Options{}, false, differs("signing.root")
	case len(c.Registries) == 0 || c.Registries[0].Preset != Zot && c.Registries[0].Notifications.SecretFile != Notifications:
		return Options{}, false, differs("notifications.secret_file of the first registry")
	case c.Token.Issuer != "" && c.Token.Issuer != Issuer:
		return Options{}, false, differs("token.issuer")
	case c.Paths.Token != "" && c.Paths.Token != tokenPath, c.Paths.Notifications != "" && c.Paths.Notifications != notificationsPath:
		return Options{}, false, differs("address under paths")
	}
	o := Options{Preset: c.Registries[0].Preset, Service: c.Registries[0].Service, PublicURL: c.PublicURL, Database: c.Database}
	for _, s := range c.Identity {
		if names := s.HTPasswd.Groups.Administrators; len(names) > 0 && o.Admin == "" {
			o.Admin = names[0]
		}
	}
	if len(c.Listen) > 0 {
		o.Listen = c.Listen[0].Address
		o.TLSCertificate, o.TLSKey = c.Listen[0].TLS.Certificate, c.Listen[0].TLS.Key
	}
	return o, true, nil
}
