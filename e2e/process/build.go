package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// builtPrograms is a cache of the programs that this process has compiled, because the go command
// takes half a second even if nothing has changed.
var builtPrograms sync.Map // folder -> func() (program string, err error)

// Build compiles the program in a folder relative to this module and returns its path. The program
// stays in bin/ of this checkout. So the go command can see that the program is up to date, and
// tests of another checkout do not replace the program.
func Build(t testing.TB, name, folder string) string {
	t.Helper()
	once, _ := builtPrograms.LoadOrStore(folder, sync.OnceValues(func() (string, error) { return build(name, folder) }))
	program, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func build(name, folder string) (string, error) {
	program := filepath.Join(filepath.Dir(Home()), "bin", "e2e", name)
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	cmd.Dir = filepath.Join(Home(), folder)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling %s: %w\n%s", name, err, out)
	}
	return program, nil
}

// Home returns the folder of this module.
func Home() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}
