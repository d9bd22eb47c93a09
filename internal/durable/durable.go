// Package durable writes files. After a crash of the machine, a file is either complete or does
// not exist.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// fsync is a variable, so that tests can replace it.
var fsync = (*os.File).Sync

// WriteFile writes a complete file, or no file. After WriteFile has returned, the file survives a
// crash of the machine. If replace is true, an existing file is replaced. If replace is false and
// the file exists, the error is fs.ErrExist. A crash during the call leaves at most a temporary
// file whose name begins with a dot.
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
		err = fsync(temp)
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
	taken := fmt.Errorf("%s: %w", path, fs.ErrExist)
	err := os.Link(temp, path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return taken
	}
	// A symbolic link without a target counts as an existing file, so that no file is created at
	// its target.
	switch _, lookErr := os.Lstat(path); {
	case lookErr == nil:
		return taken
	case !errors.Is(lookErr, fs.ErrNotExist):
		return errors.Join(err, lookErr)
	}
	return os.Rename(temp, path)
}

// syncFolder makes the names in a folder durable.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(fsync(f), f.Close())
}
