package config

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files is a disk in memory: text by path. A file whose name ends with "!" can be read by everybody.
type files map[string]string

func (f files) read(file string, most int64) ([]byte, bool, error) {
	bare, err := f.look(file)
	if err != nil {
		return nil, false, err
	}
	text := f[file] + f[file+"!"]
	if int64(len(text)) > most {
		return nil, false, opening(file, fs.ErrInvalid)
	}
	return []byte(text), bare, nil
}

func (f files) look(file string) (bool, error) {
	if _, ok := f[file]; ok {
		return false, nil
	}
	if _, ok := f[file+"!"]; ok {
		return true, nil
	}
	return false, opening(file, fs.ErrNotExist)
}

func (f files) glob(pattern string) ([]string, error) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if ok, err := filepath.Match(pattern, name); err != nil {
			return nil, err
		} else if ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// withKeys returns f with a signing root where it is looked for by default.
func (f files) withKeys() files {
	f = maps.Clone(f)
	f["/keys/cert.pem"], f["/keys/privatekey.pem"] = "PEM", "PEM"
	return f
}

// loadText loads tidewaiter.yaml of f, where one environment variable is set.
func loadText(t testing.TB, f files) (*Config, error) {
	t.Helper()
	return load("tidewaiter.yaml", Options{Env: func(name string) (string, bool) {
		return "environment-secret", name == "NOTIFY"
	}}, f)
}

// told returns the lines of an error, without the file's name.
func told(err error) []string {
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(line, "tidewaiter.yaml:"), " ")
	}
	return lines
}
