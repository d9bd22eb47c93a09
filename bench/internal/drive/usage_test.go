package drive

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
)

func TestUsageOfAProcessGrowsWithItsWork(t *testing.T) {
	if runtime.GOOS != "linux" {
		if _, err := Usage(os.Getpid()); err == nil {
			t.Error("known without /proc")
		}
		return
	}
	before, err := Usage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ { // use processor time until it is measurable
		after, err := Usage(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after < before {
			t.Fatalf("%s after %s", after, before)
		}
		if after > before {
			break
		}
	}
	if _, err := Usage(-1); err == nil {
		t.Error("Usage returned a time for a process that does not exist")
	}
}

func TestRunReportsAMissingProcess(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	defer server.Close()
	target, err := NewTarget(t.Context(), TargetOptions{URL: server.URL, Process: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), target, Options{Connections: 1, Requests: 5}); err == nil {
		t.Error("Run returned the processor time of a missing process")
	}
}
