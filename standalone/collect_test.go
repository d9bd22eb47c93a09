package main

import (
	"bytes"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/tidewaiter/tidewaiter/internal/await"
)

func TestCollectFreesWhatADeletionLeft(t *testing.T) {
	data := t.TempDir()
	s, down := startStandalone(t, data, new(await.Log))
	password := regexp.MustCompile(`password  (\S+) `).FindStringSubmatch(s.Welcome())[1]
	admin := client{t, "http://" + s.address, "admin", password}

	kept, gone := strings.Repeat("kept ", 1000), strings.Repeat("gone ", 2000)
	admin.pushImage("admin/app", "kept", kept)
	deleted := admin.pushImage("admin/app", "gone", gone)
	if got := admin.do("DELETE", "/v2/admin/app/manifests/"+deleted, "repository:admin/app:delete", nil).StatusCode; got != http.StatusAccepted {
		t.Fatalf("deleting: %d", got)
	}

	if _, err := collect(t.Context(), data); !errors.Is(err, errInUse) || !strings.HasSuffix(err.Error(), "stop it") {
		t.Errorf("collect while Standalone runs: %v", err)
	}
	down()
	var log bytes.Buffer
	logrus.SetOutput(&log)
	freed, err := collect(t.Context(), data)
	if log.Len() > 0 {
		t.Errorf("collect logs what nobody asked for:\n%s", &log)
	}
	if err != nil || freed < int64(len(gone)) || freed >= int64(len(gone)+len(kept)) {
		t.Errorf("freed %d bytes of a layer of %d, %v", freed, len(gone), err)
	}

	s, down = startStandalone(t, data, new(await.Log))
	defer down()
	admin.base = "http://" + s.address
	for layer, want := range map[string]int{kept: http.StatusOK, gone: http.StatusNotFound} {
		if got := admin.do("HEAD", "/v2/admin/app/blobs/"+digestOf(layer), "repository:admin/app:pull", nil).StatusCode; got != want {
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
