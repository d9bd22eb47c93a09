package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"

	"github.com/tidewaiter/tidewaiter/internal/setup"
)

// storageFolder is where the registry stores layers and manifests, below the data folder.
const storageFolder = "registry"

// collect removes the layers to which no manifest refers, and returns the number of freed bytes.
// When an image is deleted, the registry does not delete the image's layers. A garbage collector
// deletes them later. It must not run during a push, so collect locks the folder, and fails while
// Standalone runs.
func collect(ctx context.Context, data string) (freed int64, err error) {
	root := filepath.Join(data, storageFolder)
	if _, err := os.Stat(filepath.Join(data, setup.Config)); err != nil {
		return 0, fmt.Errorf("%s is not a folder of `make up`: set DATA= to its folder", data)
	}
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		return 0, nil // nothing was ever pushed
	}
	held, err := lock(data)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, held.Close()) }()

	files := filesystem.New(filesystem.DriverParameters{RootDirectory: root, MaxThreads: 4})
	registry, err := storage.NewRegistry(ctx, files, storage.EnableDelete)
	if err != nil {
		return 0, fmt.Errorf("opening the registry's storage: %w", err)
	}
	before, err := size(root)
	if err != nil {
		return 0, err
	}
	logrus.SetOutput(io.Discard) // the library logs each deleted file
	err = storage.MarkAndSweep(ctx, files, registry, storage.GCOpts{Quiet: true})
	if missing := (driver.PathNotFoundError{}); errors.As(err, &missing) {
		return 0, nil // nothing was ever pushed
	}
	if err != nil {
		return 0, fmt.Errorf("collecting garbage: %w", err)
	}
	after, err := size(root)
	return before - after, err
}

// size returns the total size of the files below a folder, in bytes.
func size(folder string) (total int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("measuring the registry's storage: %w", err)
	}
	return total, nil
}
