package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// sqliteLocation is the address of a SQLite database.
type sqliteLocation struct {
	name string // the user's text, without the scheme
	path string // the path of the file; "" for a database in memory
	dsn  string // a URI for SQLite, without options
}

// String returns the name of the file.
func (p sqliteLocation) String() string { return p.name }

// InMemory reports whether a URL names a database in the memory of this process.
func InMemory(url string) bool { return strings.HasPrefix(url, "sqlite::memory:") }

// parseSQLite parses a SQLite URL. The second argument is the part of the URL after the scheme.
func parseSQLite(text, afterScheme string) (location, error) {
	if afterScheme == ":memory:" {
		// Connections share a database in memory by its name, so each database gets its own name.
		return sqliteLocation{name: afterScheme, dsn: "file:/tidewaiter-" + rand.Text() + "?vfs=memdb"}, nil
	}
	path, slashes := strings.CutPrefix(afterScheme, "//")
	switch {
	case slashes && !strings.HasPrefix(path, "/"):
		return nil, fmt.Errorf("reading database URL %q: SQLite URLs have no host (did you mean %q or %q?)",
			text, "sqlite:"+path, "sqlite:///"+path)
	case path == "" || path == "/":
		return nil, fmt.Errorf("reading database URL %q: it has no file name; write sqlite:///path/to/state.db", text)
	case strings.ContainsAny(path, "?#"):
		return nil, fmt.Errorf("reading database URL %q: it may have no options, and a file name may not contain ? or #", text)
	case strings.ContainsRune(path, 0):
		return nil, fmt.Errorf("reading database URL %q: a file name may not contain a NUL", text)
	}
	abs, err := filepath.Abs(path) // the working directory may change later
	if err != nil {
		return nil, fmt.Errorf("reading database URL %q: %w", text, err)
	}
	return sqliteAt(path, abs), nil
}

// sqliteAt returns the location of a file. path is absolute, or relative to a working directory
// that does not change.
func sqliteAt(name, path string) sqliteLocation {
	return sqliteLocation{name: name, path: path, dsn: (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path)}).String()}
}

// source returns the URI with options for the driver.
func (p sqliteLocation) source(options url.Values) string {
	separator := "?"
	if strings.Contains(p.dsn, "?") {
		separator = "&"
	}
	return p.dsn + separator + options.Encode()
}

// prepare creates the folder and the file with modes that exclude other users. If SQLite
// created the file, its mode would depend on the umask. SQLite gives its write-ahead log the
// mode of the file.
func (p sqliteLocation) prepare() error {
	if p.path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(p.path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the file and its folder must be writable", err)
	case err != nil:
		return err
	}
	return file.Close()
}
