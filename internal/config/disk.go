package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// disk is where the files are.
type disk interface {
	// read returns a file of at most most bytes.
	read(file string, most int64) (src []byte, open access, err error)
	// look opens a file and closes it.
	look(file string) (open access, err error)
	// list returns the names in a folder, in their order.
	list(folder string) ([]string, error)
}

// access is what everybody on this machine can do with a file.
type access uint8

const (
	anyRead access = 1 << iota
	anyChange
)

// warnings says what is wrong with that. To read a file is a risk only where it is secret.
func (a access) warnings(file string, secret bool) []string {
	var warnings []string
	if a&anyRead != 0 && secret {
		warnings = append(warnings, "everybody on this machine can read "+file)
	}
	if a&anyChange != 0 {
		warnings = append(warnings, "everybody on this machine can change "+file)
	}
	return warnings
}

// osFS is the disk of this machine.
type osFS struct{}

func (osFS) read(file string, most int64) ([]byte, access, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, opening(file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, opening(file, err)
	}
	if info.IsDir() {
		return nil, 0, opening(file, errFolder)
	}
	var src bytes.Buffer
	src.Grow(int(min(max(info.Size(), 0), most)) + bytes.MinRead) // pipes have no size
	if _, err := src.ReadFrom(io.LimitReader(f, most+1)); err != nil {
		return nil, 0, opening(file, err)
	}
	if int64(src.Len()) > most {
		return nil, 0, opening(file, fmt.Errorf("it is larger than %d bytes", most))
	}
	return src.Bytes(), accessOf(info), nil
}

func (osFS) look(file string) (access, error) {
	info, err := os.Stat(file) // first: to open a pipe would wait for its writer
	switch {
	case err != nil:
		return 0, opening(file, err)
	case info.IsDir():
		return 0, opening(file, errFolder)
	case info.Mode().IsRegular():
		f, err := os.Open(file)
		if err != nil {
			return 0, opening(file, err)
		}
		f.Close()
	}
	return accessOf(info), nil
}

func (osFS) list(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, opening(folder, err)
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}

var errFolder = errors.New("it is a folder")

// accessOf reads the mode of a file. On Windows it does not say who has access.
func accessOf(info fs.FileInfo) (open access) {
	if runtime.GOOS == "windows" || !info.Mode().IsRegular() {
		return 0
	}
	if info.Mode().Perm()&0o004 != 0 {
		open |= anyRead
	}
	if info.Mode().Perm()&0o002 != 0 {
		open |= anyChange
	}
	return open
}

// opening wraps an error with the path of the file, once.
func opening(file string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("opening %s: %w", file, err)
}
