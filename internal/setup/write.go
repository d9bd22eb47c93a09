package setup

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/tidewaiter/tidewaiter/internal/identity"
	"github.com/tidewaiter/tidewaiter/internal/password"
	"github.com/tidewaiter/tidewaiter/internal/text"
	"github.com/tidewaiter/tidewaiter/token"
)

//go:embed template
var templates embed.FS

// writer is one call of Write.
type writer struct {
	Result
	plan plan
}

// write creates each file after the files that it refers to. It creates the account last, because
// the account's password is printed only after Write returns. After a crash, there must be no
// account whose password nobody knows.
func (w *writer) write() error {
	if w.plan.defaulted && !forThisMachine(w.plan.PublicURL) {
		w.note("The registry's service name is %s, because --service was not given. If clients on other machines use another name, run init with this name in a new folder, such as --service registry.example.com.", w.plan.Service)
	}
	users, err := w.readUsers()
	if err != nil {
		return err
	}
	for _, step := range []func() error{w.folder, w.root, w.bundle, w.secret} {
		if err := step(); err != nil {
			return err
		}
	}
	type file struct{ name, what string }
	files := []file{{Config, "the config and its policy"}}
	switch {
	case w.plan.Zot:
		files = append(files, file{ZotConfig, "a config for zot"})
	case w.plan.registry != nil:
		files = append(files, file{RegistryConfig, "the registry's config with Tidewaiter"})
	default:
		files = append(files, file{RegistryConfig, "a config for the registry"}, file{RegistryEnv, "the same for docker run --env-file"})
	}
	for _, f := range files {
		if err := w.file(f.name, f.what, 0o600, func() ([]byte, error) { return w.render(f.name) }); err != nil {
			return err
		}
	}
	return w.users(users)
}

// render returns the content of a file. In the config of an existing registry, settings other
// than auth and notifications are kept.
func (w *writer) render(name string) ([]byte, error) {
	content, err := render(name, w.plan)
	if name == ZotConfig {
		w.note("%s disables zot's deduplication. With deduplication, anyone who may pull from one repository can read any blob whose digest they know.", ZotConfig)
	}
	if err != nil || name != RegistryConfig || w.plan.registry == nil {
		return content, err
	}
	if kind := w.plan.registry.authKind(); kind != "" {
		w.note("%s replaces the section auth.%s of the registry's config with a section for Tidewaiter's tokens, because a registry has only one kind of authentication.", RegistryConfig, kind)
		if kind == "token" {
			w.note("The users of the registry's current token service are unknown to Tidewaiter, so only %s can sign in. If an earlier init wrote this section, give the registry's original config with --registry-config.", w.plan.Admin)
		}
	}
	if w.plan.registry.exposed {
		path := text.Shell(w.plan.registry.path)
		w.note("All users of this machine can read %s, and %s contains a secret. Before you install the file, give it to the group that the registry runs as, and remove the access of other users: chgrp GROUP %[3]s && chmod o-r %[3]s", w.plan.registry.path, RegistryConfig, path)
	}
	return w.plan.registry.merge(content)
}

func (w *writer) note(format string, args ...any) {
	w.Notes = append(w.Notes, fmt.Sprintf(format, args...))
}

// bundle writes a copy of the root's certificate that the registry's user can read. This user
// cannot enter keys/, where the original is.
func (w *writer) bundle() error {
	certificate, err := os.ReadFile(w.Path(Certificate))
	if err != nil {
		return err
	}
	w.plan.Root = w.Path(RootBundle)
	err = w.file(RootBundle, "the root's certificate, for the registry", 0o644, func() ([]byte, error) { return certificate, nil })
	if err != nil {
		return err
	}
	there, err := os.ReadFile(w.Path(RootBundle))
	if err != nil {
		return err
	}
	if !bytes.Contains(there, bytes.TrimSpace(certificate)) { // it may also hold the next root
		return fmt.Errorf("%[1]s does not contain the certificate of %[2]s: delete %[1]s to create it again", RootBundle, Certificate)
	}
	if dir := unreadableFolder(w.Path(RootBundle)); dir != "" && w.plan.registry != nil {
		w.note("The registry's user may not enter %s, so the registry cannot read %s there. Choose another --dir, such as /etc/tidewaiter, or: chmod o+x %s", dir, RootBundle, text.Shell(dir))
	}
	return nil
}

// folder creates the folder. It rejects an existing folder that all users can write to, because
// another user could have created a root or a link in it.
func (w *writer) folder() error {
	info, err := os.Stat(w.Dir)
	if err != nil {
		mode := fs.FileMode(0o711)
		if w.plan.Private {
			mode = 0o700
		}
		if err := os.MkdirAll(w.Dir, mode); err != nil {
			return err
		}
		return os.Chmod(w.Dir, mode) // the umask can have removed permissions
	}
	if info.IsDir() && info.Mode().Perm()&0o002 != 0 {
		return fmt.Errorf("all users can write to it: choose another folder, or chmod o-w %s", w.Dir)
	}
	return nil
}

// root creates the root certificate and key, unless they exist. If only one of the two files
// exists, this function returns an error and creates nothing, because the existing file is
// possibly in use.
func (w *writer) root() error {
	hasCertificate, err := pathExists(w.Path(Certificate))
	hasKey, keyErr := pathExists(w.Path(Key))
	if err := errors.Join(err, keyErr); err != nil {
		return err
	}
	switch {
	case hasCertificate != hasKey:
		half, missing := Certificate, Key
		if hasKey {
			half, missing = Key, Certificate
		}
		return fmt.Errorf("%s exists without %s: restore the missing file, or move the existing file away to create a new pair", half, missing)
	case !hasCertificate:
		if _, _, err := WriteRoot(filepath.Dir(w.Path(Key)), token.ES256, w.plan.Now()); err != nil {
			return err
		}
	}
	w.Files = append(w.Files,
		File{Path: Key, What: "the key of the root that signs", Made: !hasKey},
		File{Path: Certificate, What: "the root's certificate: the registry trusts it", Made: !hasKey})
	return nil
}

// secret creates the secret of the registry's events, or reads the existing secret. The registry's
// config must contain the same secret. So if a registry config exists and the secret is missing,
// this function returns an error instead of creating another secret.
func (w *writer) secret() error {
	if w.plan.Zot {
		return nil // zot posts no events
	}
	there, err := pathExists(w.Path(Notifications))
	if err != nil {
		return err
	}
	for _, name := range []string{RegistryConfig, RegistryEnv} {
		if stale, err := pathExists(w.Path(name)); err != nil {
			return err
		} else if stale && !there {
			return fmt.Errorf("%[1]s is missing, and %[2]s contains the same secret: restore %[1]s, or delete %[2]s, too, to create both again", Notifications, name)
		}
	}
	err = w.file(Notifications, "the secret of the registry's events", 0o600, func() ([]byte, error) {
		return []byte(newSecret() + "\n"), nil
	})
	if err != nil {
		return err
	}
	content, err := os.ReadFile(w.Path(Notifications))
	if err != nil {
		return err
	}
	w.plan.Secret = strings.TrimSpace(string(content))
	if w.plan.Secret == "" {
		return fmt.Errorf("%s is empty: delete it to create a new file", Notifications)
	}
	if checkOneLine(w.plan.Secret) != nil {
		return fmt.Errorf("%s has more than one line, or characters that cannot be printed", Notifications)
	}
	return nil
}

// readUsers reads the existing users from the folder's password file, or from the registry's
// password file. If the folder has a password file, the administrator in the config must be one of
// its users.
func (w *writer) readUsers() (people, error) {
	path := w.Path(Users)
	there, err := pathExists(path)
	if err != nil {
		return people{}, err
	}
	if !there {
		if w.plan.RegistryUsers == "" {
			return people{}, nil
		}
		path = w.plan.RegistryUsers
	}
	users, err := readPeople(path)
	switch {
	case there && errors.Is(err, fs.ErrNotExist):
		return people{}, nil // a dangling link: do not change it, and create no file at its target
	case there && err != nil:
		return people{}, fmt.Errorf("reading %s: %w", Users, err)
	case err != nil:
		return people{}, w.plan.usersError(err)
	}
	if there && w.plan.RegistryUsers != "" {
		theirs, err := readPeople(w.plan.RegistryUsers)
		if err != nil {
			return people{}, w.plan.usersError(err)
		}
		missing := slices.DeleteFunc(theirs.names, func(name string) bool { return slices.Contains(users.names, name) })
		if len(missing) > 0 {
			w.note("%s existed and was not changed, so it lacks these accounts of the registry, which cannot sign in: %s. Copy their lines from %s.", Users, joinFirst(missing, ", "), w.plan.RegistryUsers)
		}
	}
	if there && !slices.Contains(users.names, w.plan.Admin) {
		configured, err := pathExists(w.Path(Config))
		if err != nil {
			return people{}, err
		}
		if !configured {
			return people{}, fmt.Errorf("%s has no user %s for the administrator: name one of its users with --admin (%s)", Users, w.plan.Admin, joinFirst(append(users.names, users.left...), ", "))
		}
	}
	return users, nil
}

// users writes the accounts of the registry, and the administrator.
func (w *writer) users(before people) error {
	there, err := pathExists(w.Path(Users))
	if err != nil {
		return err
	}
	what := "the accounts: " + w.plan.Admin + ", who may do everything"
	if len(before.names) > 0 && w.plan.RegistryUsers != "" && !there {
		what = fmt.Sprintf("the %d accounts of the registry, and the administrator", len(before.names))
		if len(before.names) == 1 {
			what = "the account of the registry, and the administrator"
		}
	}
	return w.file(Users, what, 0o600, func() ([]byte, error) {
		if len(before.left) > 0 {
			w.note("Lines of the registry's password file that Tidewaiter cannot read are left out of %s: %s.", Users, joinFirst(before.left, "; "))
		}
		if slices.Contains(before.names, w.plan.Admin) {
			w.note("The user %s in the registry's password file is now the administrator, who may do everything, and keeps the password from that file. If others know this password, choose another administrator with --admin in a new folder.", w.plan.Admin)
			return []byte(before.text), nil
		}
		secret := newPassword()
		hash, err := password.New(password.Options{}).HashBcrypt(context.Background(), secret, bcryptCost)
		if err != nil {
			return nil, err
		}
		w.Password = identity.NewSecret(secret)
		return []byte(before.text + w.plan.Admin + ":" + hash + "\n"), nil
	})
}

// bcryptCost is the cost of a hash. A hash with this cost takes about 60 ms on one core. The
// password of an active user is hashed once in several minutes.
const bcryptCost = 10

// file creates a file with the bytes that the given function returns. If the file exists, the
// file stays as it is.
func (w *writer) file(name, what string, mode fs.FileMode, content func() ([]byte, error)) error {
	there, err := pathExists(w.Path(name))
	if err != nil {
		return err
	}
	if there {
		w.Files = append(w.Files, File{Path: name, What: what})
		return nil
	}
	text, err := content()
	if err != nil {
		return fmt.Errorf("creating %s: %w", name, err)
	}
	if err := createFile(w.Path(name), text, mode); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	w.Files = append(w.Files, File{Path: name, What: what, Made: true})
	return nil
}

// newSecret returns 256 random bits as text that needs no quotes in YAML or a shell.
func newSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// newPassword returns 100 random bits for people: four groups of letters and digits that do not
// look alike.
func newPassword() string {
	const alphabet = "abcdefghijkmnpqrstuvwxyz23456789" // 32: no l, o, 0, 1
	var b [20]byte
	rand.Read(b[:])
	for i, c := range b {
		b[i] = alphabet[c%32]
	}
	return string(bytes.Join(slices.Collect(slices.Chunk(b[:], 5)), []byte("-")))
}

// render fills in the template of a file. Templates quote all settings.
func render(name string, p plan) ([]byte, error) {
	t, err := template.New(name).Funcs(template.FuncMap{"quote": text.Quote}).ParseFS(templates, "template/"+name)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
