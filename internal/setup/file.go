package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tidewaiter/tidewaiter/internal/durable"
)

// createFile creates a file and its folder. It never replaces a file: if the file exists, the
// error is ErrTaken.
func createFile(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	err := durable.WriteFile(path, content, mode, false)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", path, ErrTaken)
	}
	return err
}

// pathExists reports whether there is anything at path. A dangling link counts as existing, so
// that no file is created where the link points.
func pathExists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
