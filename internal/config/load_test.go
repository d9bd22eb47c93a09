package config

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files is a disk in memory: text by path. A file whose path here ends with "!" can be read by
// everybody, one with "!!" also changed.
type files map[string]string

func (f files) find(file string) (text string, open access, err error) {
	for suffix, open := range map[string]access{"": 0, "!": anyRead, "!!": anyRead | anyChange} {
		if text, ok := f[file+suffix]; ok {
			return text, open, nil
		}
	}
	return "", 0, opening(file, fs.ErrNotExist)
}

func (f files) read(file string, most int64) ([]byte, access, error) {
	text, open, err := f.find(file)
	if err == nil && int64(len(text)) > most {
		err = opening(file, fs.ErrInvalid)
	}
	return []byte(text), open, err
}

func (f files) look(file string) (access, error) {
	_, open, err := f.find(file)
	return open, err
}

func (f files) list(folder string) ([]string, error) {
	var names []string
	for _, file := range slices.Sorted(maps.Keys(f)) {
		if filepath.Dir(file) == folder {
			names = append(names, strings.TrimRight(filepath.Base(file), "!"))
		}
	}
	if names == nil {
		return nil, opening(folder, fs.ErrNotExist)
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

// reported returns the lines of an error, without the file's name.
func reported(err error) []string {
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(line, "tidewaiter.yaml:"), " ")
	}
	return lines
}
