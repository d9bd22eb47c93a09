package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v4"
)

// Found returns what the config that is in dir says of Service, PublicURL and the rest, so that what is
// completed beside it says the same. It is false where there is no config. A config that has its root, or the
// secret of the registry's events, in other files than Write makes is an error: files
// that nobody reads would be no help.
func Found(dir string) (Options, bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, Config))
	if errors.Is(err, fs.ErrNotExist) {
		return Options{}, false, nil
	}
	if err != nil {
		return Options{}, false, err
	}
	// Whether it is right is not asked here: what it names may be what is missing.
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
		return fmt.Errorf("the %s in %s is another than init would write: to begin anew, name another folder", what, Config)
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
