package config

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/strictyaml"
)

// files is a file system in memory: text by path. If a path in the map ends with "!", all users
// can read the file. If a path ends with "!!", all users can also change the file.
type files map[string]string

func (f files) find(file string) (text string, a strictyaml.Access, err error) {
	for suffix, a := range map[string]strictyaml.Access{"": 0, "!": strictyaml.AnyRead, "!!": strictyaml.AnyRead | strictyaml.AnyWrite} {
		if text, ok := f[file+suffix]; ok {
			return text, a, nil
		}
	}
	return "", 0, fmt.Errorf("opening %s: %w", file, fs.ErrNotExist)
}

func (f files) Read(file string, limit int64) ([]byte, strictyaml.Access, error) {
	text, a, err := f.find(file)
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("opening %s: %w", file, fs.ErrInvalid)
	}
	return []byte(text), a, err
}

func (f files) Check(file string) (strictyaml.Access, error) {
	_, a, err := f.find(file)
	return a, err
}

func (f files) List(folder string) ([]string, error) {
	var names []string
	for _, file := range slices.Sorted(maps.Keys(f)) {
		if filepath.Dir(file) == folder {
			names = append(names, strings.TrimRight(filepath.Base(file), "!"))
		}
	}
	if names == nil {
		return nil, fmt.Errorf("opening %s: %w", folder, fs.ErrNotExist)
	}
	return names, nil
}

// withKeys returns f with a signing root at the default path.
func (f files) withKeys() files {
	f = maps.Clone(f)
	f["/keys/cert.pem"], f["/keys/privatekey.pem"] = "PEM", "PEM"
	return f
}

// loadText loads tidewaiter.yaml of f with one environment variable.
func loadText(t testing.TB, f files) (*Config, error) {
	t.Helper()
	return loadFrom("tidewaiter.yaml", Options{Env: func(name string) (string, bool) {
		return "environment-secret", name == "NOTIFY"
	}}, f)
}

func loadFrom(file string, o Options, f files) (*Config, error) {
	return load(&strictyaml.Reader{FS: f, Env: o.Env}, file, o)
}

// errorLines returns the lines of an error, without the file's name.
func errorLines(err error) []string {
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(line, "tidewaiter.yaml:"), " ")
	}
	return lines
}
