package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// disk is where the files are. Whether a file is bare says whether everybody on this machine can read it.
type disk interface {
	// read returns a file of at most most bytes.
	read(file string, most int64) (src []byte, bare bool, err error)
	// look opens a file and closes it.
	look(file string) (bare bool, err error)
	// glob returns the names of the files that match, in their order.
	glob(pattern string) ([]string, error)
}

// thisMachine is the disk of this machine.
type thisMachine struct{}

func (thisMachine) read(file string, most int64) (src []byte, bare bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, false, opening(file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, false, opening(file, err)
	}
	if info.IsDir() {
		return nil, false, opening(file, errFolder)
	}
	src, err = io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, false, opening(file, err)
	}
	if int64(len(src)) > most {
		return nil, false, opening(file, fmt.Errorf("it is larger than %d bytes", most))
	}
	return src, isBare(info), nil
}

func (thisMachine) look(file string) (bare bool, err error) {
	info, err := os.Stat(file) // first: to open a pipe would wait for its writer
	switch {
	case err != nil:
		return false, opening(file, err)
	case info.IsDir():
		return false, opening(file, errFolder)
	case info.Mode().IsRegular():
		f, err := os.Open(file)
		if err != nil {
			return false, opening(file, err)
		}
		f.Close()
	}
	return isBare(info), nil
}

func (thisMachine) glob(pattern string) ([]string, error) { return filepath.Glob(pattern) }

var errFolder = errors.New("it is a folder")

// isBare reports whether everybody on this machine can read a file. Windows does not say so by modes.
func isBare(info fs.FileInfo) bool {
	return runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0
}

// opening wraps an error with the path of the file, once.
func opening(file string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("opening %s: %w", file, err)
}
