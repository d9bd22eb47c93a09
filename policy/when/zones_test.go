package when

import (
	"archive/zip"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write a new zones.txt from Go's zones")

// The names in zones.txt are the names of the zones that come with Go. The package time/tzdata
// holds a copy of these zones.
func TestZonesAreThoseOfGo(t *testing.T) {
	if *update {
		root, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			t.Fatal(err)
		}
		archive, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = archive.Close() }()
		var names []string
		for _, f := range archive.File {
			// Factory is not a place: it is the default for a machine without a configured
			// zone.
			if !strings.HasSuffix(f.Name, "/") && f.Name != "Factory" {
				names = append(names, f.Name)
			}
		}
		slices.Sort(names)
		if err := os.WriteFile("zones.txt", []byte(strings.Join(names, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	z := newZones()
	if n := len(z.names()); n < 590 || !slices.IsSorted(z.names()) {
		t.Errorf("there are %d zones", n)
	}
	z.loadAll()
	for _, name := range z.names() {
		if _, ok := z.find(name); !ok {
			t.Errorf("Go no longer has the zone %s: run go generate", name)
		}
	}
}

// All zones can be used in a container without zone files. The test runs itself in a new process
// that finds no zone files.
func TestZonesNeedNoFiles(t *testing.T) {
	if os.Getenv("ZONES_OF") == "nowhere" {
		l, err := newLanguage()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.compile(`timestamp("2026-07-01T22:30:00Z").getDayOfWeek("Europe/Paris") == THURSDAY`); err != nil {
			t.Fatal(err)
		}
		paris, ok := l.zones.find("Europe/Paris")
		if summer := time.Date(2026, 7, 1, 22, 30, 0, 0, time.UTC).In(paris); !ok || summer.Hour() != 0 {
			t.Errorf("it is %s in Paris", summer)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Log("not root: the test can also find the zone files of this machine")
		runNowhere(t, "")
		return
	}
	runNowhere(t, t.TempDir())
}

// runNowhere runs the test again in a new process. If the parameter root is not empty, it becomes
// the root folder of the process. There are no zone files below this folder.
func runNowhere(t *testing.T, root string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^TestZonesNeedNoFiles$")
	if root != "" {
		program, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "test"), program, 0o700); err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command("/test", "-test.run", "^TestZonesNeedNoFiles$")
		cmd.SysProcAttr, cmd.Dir, cmd.Err = chrootAttributes(root), "/", nil
	}
	cmd.Env = []string{"ZONES_OF=nowhere", "ZONEINFO="}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestOffsets(t *testing.T) {
	for text, want := range map[string]int{"+02:00": 7200, "-09:30": -34200, "+00:00": 0, "+14:00": 50400} {
		if got, ok := parseOffset(text); !ok || got != want {
			t.Errorf("%s is %d, %t", text, got, ok)
		}
	}
	for _, text := range []string{"02:00", "+2:00", "+15:00", "+02:60", "+0200", "", "+-1:00", "+02:0x", "+ 2:00"} {
		if got, ok := parseOffset(text); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
}
