package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// place creates a file and its folder. It never replaces a file.
func place(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return WriteFile(path, content, mode, false)
}

// WriteFile writes a file. The file appears complete or not at all. If the file exists, the error
// is ErrTaken, unless replace is true. A crash leaves at most a temporary file whose name begins
// with a dot.
func WriteFile(path string, content []byte, mode fs.FileMode, replace bool) error {
	folder := filepath.Dir(path)
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
	if replace {
		err = os.Rename(temp.Name(), path)
	} else {
		err = link(temp.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncFolder(folder)
}

// link gives a complete file its name with a hard link, which fails if the name exists. On file
// systems without hard links (FAT, some shared folders), link checks whether the name exists and
// then renames the file. On these file systems, two calls for the same folder at the same time
// can replace each other's file.
func link(temp, path string) error {
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

// syncFolder makes the names in a folder durable with fsync.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// exists reports whether there is anything at path. A dangling link counts as existing, so that
// no file is created where the link points.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
