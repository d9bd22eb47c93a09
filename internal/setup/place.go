package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// place creates a file. It appears complete or not at all and never replaces a file: a hard link gives it
// its name, which fails if the name exists. A crash leaves at most a temporary file whose name begins
// with a dot.
func place(path string, content []byte, mode fs.FileMode) (err error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(folder, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(content)
	if err == nil && mode != 0o600 {
		err = temp.Chmod(mode)
	}
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	if err := name(temp.Name(), path); err != nil {
		return err
	}
	return settle(folder)
}

// name gives a complete file its name. On file systems without hard links (FAT, some shared folders) it
// checks and renames. There, two calls for the same folder at the same time can replace each other's
// file.
func name(temp, path string) error {
	err := os.Link(temp, path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %w", path, ErrTaken)
	}
	if there, lookErr := exists(path); lookErr != nil {
		return errors.Join(err, lookErr)
	} else if there {
		return fmt.Errorf("%s: %w", path, ErrTaken)
	}
	return os.Rename(temp, path)
}

// settle makes the names in a folder durable with fsync.
func settle(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// exists reports whether there is anything at path. A dangling link counts, so that nothing is written
// through it.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
