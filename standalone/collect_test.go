package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/tidewaiter/tidewaiter/internal/await"
)

func TestCollectFreesWhatADeletionLeft(t *testing.T) {
	data := t.TempDir()
	s, down := startStandalone(t, data, new(await.Log))
	password := regexp.MustCompile(`password  (\S+) `).FindStringSubmatch(s.Welcome())[1]
	admin := client{t, "http://" + s.address, "admin", password}

	digest := func(content string) string {
		sum := sha256.Sum256([]byte(content))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	const mediaType = "application/vnd.oci.image.manifest.v1+json"
	image := func(tag, layer string) (manifest string) {
		const config = "{}"
		for _, blob := range []string{config, layer} {
			if got := admin.push("admin/app", blob); got != http.StatusCreated {
				t.Fatalf("pushing a blob: %d", got)
			}
		}
		manifest = fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,`+
			`"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
			`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
			mediaType, digest(config), len(config), digest(layer), len(layer))
		answer := admin.do("PUT", "/v2/admin/app/manifests/"+tag, "repository:admin/app:pull,push", []byte(manifest), "Content-Type", mediaType)
		if answer.StatusCode != http.StatusCreated {
			t.Fatalf("pushing the manifest: %d", answer.StatusCode)
		}
		return digest(manifest)
	}
	kept, gone := strings.Repeat("kept ", 1000), strings.Repeat("gone ", 2000)
	image("kept", kept)
	deleted := image("gone", gone)
	if got := admin.do("DELETE", "/v2/admin/app/manifests/"+deleted, "repository:admin/app:delete", nil).StatusCode; got != http.StatusAccepted {
		t.Fatalf("deleting: %d", got)
	}

	if _, err := collect(t.Context(), data); err == nil || !strings.Contains(err.Error(), "stop it") {
		t.Errorf("collect while Standalone runs: %v", err)
	}
	down()
	freed, err := collect(t.Context(), data)
	if err != nil || freed < int64(len(gone)) || freed >= int64(len(gone)+len(kept)) {
		t.Errorf("freed %d bytes of a layer of %d, %v", freed, len(gone), err)
	}

	s, down = startStandalone(t, data, new(await.Log))
	defer down()
	admin.base = "http://" + s.address
	for layer, want := range map[string]int{kept: http.StatusOK, gone: http.StatusNotFound} {
		if got := admin.do("HEAD", "/v2/admin/app/blobs/"+digest(layer), "repository:admin/app:pull", nil).StatusCode; got != want {
			t.Errorf("the layer of %.4s…: %d, want %d", layer, got, want)
		}
	}
}

func TestCollectOfNothing(t *testing.T) {
	data := t.TempDir()
	if _, err := collect(t.Context(), data); err == nil || !strings.Contains(err.Error(), "make up") {
		t.Errorf("an empty folder: %v", err)
	}
	_, down := startStandalone(t, data, new(await.Log))
	down()
	if freed, err := collect(t.Context(), data); err != nil || freed != 0 {
		t.Errorf("a registry without images: %d, %v", freed, err)
	}
}
