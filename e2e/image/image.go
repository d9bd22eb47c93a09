// Package image creates container images for tests.
//
// New creates a tiny image of random content as an OCI layout on disk. Every client can read this
// layout.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Format is the family of an image's media types.
type Format int

// The formats. Registries accept both. A Docker Engine 20.10 only pushes Schema2.
const (
	OCI Format = iota
	Schema2
)

// Tag is the name of the image in its layout. Helm requires a version.
const Tag = "1.0.0"

// Image is one manifest with one configuration and one layer.
type Image struct {
	Layout   string // folder of the OCI layout
	Manifest Blob
	Config   Blob
	Layer    Blob
	RootFS   []byte // the layer's tar, uncompressed
}

// Blob is content with its descriptor.
type Blob struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"` // bytes
	Data      []byte `json:"-"`
}

// New creates an image with random content, so that it differs from all other images.
func New(t testing.TB, format Format) *Image {
	t.Helper()
	types := map[Format][3]string{
		OCI: {
			"application/vnd.oci.image.manifest.v1+json",
			"application/vnd.oci.image.config.v1+json",
			"application/vnd.oci.image.layer.v1.tar+gzip",
		},
		Schema2: {
			"application/vnd.docker.distribution.manifest.v2+json",
			"application/vnd.docker.container.image.v1+json",
			"application/vnd.docker.image.rootfs.diff.tar.gzip",
		},
	}[format]

	img := &Image{Layout: t.TempDir(), RootFS: rootfs(t)}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(img.RootFS)
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	img.Layer = blob(types[2], packed.Bytes())
	img.Config = blob(types[1], encode(t, map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{digest(img.RootFS)}},
	}))
	img.Manifest = blob(types[0], encode(t, map[string]any{
		"schemaVersion": 2,
		"mediaType":     types[0],
		"config":        img.Config,
		"layers":        []Blob{img.Layer},
	}))

	for _, b := range []Blob{img.Manifest, img.Config, img.Layer} {
		write(t, filepath.Join(img.Layout, "blobs", "sha256", b.Digest[len("sha256:"):]), b.Data)
	}
	write(t, filepath.Join(img.Layout, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	write(t, filepath.Join(img.Layout, "index.json"), encode(t, map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.index.v1+json",
		"manifests": []any{map[string]any{
			"mediaType": img.Manifest.MediaType, "digest": img.Manifest.Digest, "size": img.Manifest.Size,
			"annotations": map[string]string{"org.opencontainers.image.ref.name": Tag},
		}},
	}))
	return img
}

// rootfs returns a tar with one file of 64 random bytes.
func rootfs(t testing.TB) []byte {
	content := make([]byte, 64)
	rand.Read(content)
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "cargo", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	_, err := w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func blob(mediaType string, data []byte) Blob {
	return Blob{MediaType: mediaType, Digest: digest(data), Size: int64(len(data)), Data: data}
}

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

func encode(t testing.TB, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
