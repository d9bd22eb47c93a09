package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// place writes a file that was not there. It appears under its name whole or not
// at all, and never in the place of another: the name is given by a hard link, which fails if there is
// something, and what a crash leaves is at most a temporary file that begins with a dot.
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

// name gives a finished file its name. Where a file system has no hard links (FAT, some shared
// folders), a look and a rename have to do: there, two that set up the same folder at the same moment
// could take each other's place.
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

// settle makes the names in a folder durable.
func settle(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// exists says whether there is anything at path: a link that leads nowhere counts, so that nothing is
// written through it.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
