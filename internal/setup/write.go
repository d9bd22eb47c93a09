package setup

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/token"
)

//go:embed template
var templates embed.FS

// writer is one Write under way.
type writer struct {
	dir      string
	plan     plan
	now      func() time.Time
	files    []File
	password Secret
}

// write makes the files in such an order that whatever another one refers to is there before it. The
// account comes last: its password is known to nobody until Write returns, and a crash before that must not
// leave an account that nobody can use.
func (w *writer) write() error {
	if err := w.alone(); err != nil {
		return err
	}
	if err := w.root(); err != nil {
		return err
	}
	w.plan.Root = w.path(Certificate)
	if err := w.secret(); err != nil {
		return err
	}
	for _, f := range []struct{ name, what string }{
		{Config, "the config and its policy"},
		{RegistryConfig, "a config for the registry"},
		{RegistryEnv, "the same for docker run --env-file"},
	} {
		if err := w.file(f.name, f.what, func() ([]byte, error) { return render(f.name, w.plan) }); err != nil {
			return err
		}
	}
	return w.users()
}

// alone refuses a folder in which everybody may write: whoever got there first could have left a root of
// their own, or a link.
func (w *writer) alone() error {
	info, err := os.Stat(w.dir)
	if err != nil {
		return nil // it is made, for its owner alone
	}
	if info.IsDir() && info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("everybody may write there: choose another folder, or chmod o-w %s", w.dir)
	}
	return nil
}

// root makes the pair that signs, unless it is there. Half a pair is nothing to complete: whichever
// half it is, somebody may rely on it.
func (w *writer) root() error {
	hasCertificate, err := exists(w.path(Certificate))
	if err != nil {
		return err
	}
	hasKey, err := exists(w.path(Key))
	if err != nil {
		return err
	}
	switch {
	case hasCertificate != hasKey:
		half, missing := Certificate, Key
		if hasKey {
			half, missing = Key, Certificate
		}
		return fmt.Errorf("%s is there without %s: put it beside, or move the one away, and a new pair is made", half, missing)
	case !hasCertificate:
		if _, _, err := WriteRoot(filepath.Dir(w.path(Key)), token.ES256, w.now()); err != nil {
			return err
		}
	}
	w.files = append(w.files,
		File{Path: Key, What: "the key of the root that signs", Made: !hasKey},
		File{Path: Certificate, What: "the root's certificate: the registry trusts it", Made: !hasKey})
	return nil
}

// secret makes what the registry's posts are known by, or reads the one there is: the registry's
// config has to say the same. So no new one is made beside a config that has the old one in it.
func (w *writer) secret() error {
	there, err := exists(w.path(Notifications))
	if err != nil {
		return err
	}
	for _, name := range []string{RegistryConfig, RegistryEnv} {
		if stale, err := exists(w.path(name)); err != nil {
			return err
		} else if stale && !there {
			return fmt.Errorf("%s is gone, and %s has it in it: put it back, or remove that file too, and both are made anew", Notifications, name)
		}
	}
	err = w.file(Notifications, "the secret with which the registry reports", func() ([]byte, error) {
		return []byte(newSecret() + "\n"), nil
	})
	if err != nil {
		return err
	}
	content, err := os.ReadFile(w.path(Notifications))
	if err != nil {
		return err
	}
	w.plan.Secret = strings.TrimSpace(string(content))
	if w.plan.Secret == "" {
		return fmt.Errorf("%s is empty: remove it, and a new one is made", Notifications)
	}
	if plain(w.plan.Secret) != nil {
		return fmt.Errorf("%s holds more than one line, or what cannot be printed", Notifications)
	}
	return nil
}

// users makes the account of the administrator.
func (w *writer) users() error {
	return w.file(Users, "the accounts: "+Admin+", who may do everything", func() ([]byte, error) {
		secret := newPassword()
		hash, err := password.New(password.Options{}).HashBcrypt(context.Background(), secret, bcryptCost)
		if err != nil {
			return nil, err
		}
		w.password = func() string { return secret }
		return []byte(Admin + ":" + hash + "\n"), nil
	})
}

// bcryptCost makes some 60 ms of one core, which is spent once in some minutes for a password in use.
const bcryptCost = 10

// file makes one file of what content returns, or notes that it is there.
func (w *writer) file(name, what string, content func() ([]byte, error)) error {
	there, err := exists(w.path(name))
	if err != nil {
		return err
	}
	if there {
		w.files = append(w.files, File{Path: name, What: what})
		return nil
	}
	text, err := content()
	if err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	if err := place(w.path(name), text); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	w.files = append(w.files, File{Path: name, What: what, Made: true})
	return nil
}

func (w *writer) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

// newSecret returns 256 random bits as text that needs no quotes anywhere.
func newSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process first
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// newPassword returns 100 random bits for people: four groups of letters and digits that are not
// mistaken for each other.
func newPassword() string {
	const alphabet = "abcdefghijkmnpqrstuvwxyz23456789" // 32: no l, o, 0, 1
	var b [20]byte
	rand.Read(b[:])
	text := make([]byte, 0, len(b)+3)
	for i, c := range b {
		if i > 0 && i%5 == 0 {
			text = append(text, '-')
		}
		text = append(text, alphabet[c%32])
	}
	return string(text)
}

// render fills in the template of a file. Whatever comes from outside is quoted in it.
func render(name string, p plan) ([]byte, error) {
	t, err := template.New(name).Funcs(template.FuncMap{"quote": quote}).ParseFS(templates, "template/"+name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
