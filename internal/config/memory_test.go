package config

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// A service keeps its config as long as it runs: what the YAML was read into must not stay with
// it. Objects are counted, since each of them is what the garbage collector looks at again and
// again.
func TestAConfigKeepsNoNodeOfItsYAML(t *testing.T) {
	const rules = 2_000
	dir := t.TempDir()
	keys(t, dir)
	file := filepath.Join(dir, "tidewaiter.yaml")
	if err := os.WriteFile(file, []byte("registries: [{service: r}]\n"+manyRules(rules)), 0o600); err != nil {
		t.Fatal(err)
	}
	objects := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what the first one found is swept
		runtime.ReadMemStats(&m)
		return m.HeapObjects
	}
	before := objects()
	c, err := Load(file, Options{Keys: dir})
	if err != nil {
		t.Fatal(err)
	}
	whole := objects()
	c = c.WithoutPolicy()
	lean := objects()
	runtime.KeepAlive(c)
	// A rule of one subject and one pattern has a name, two lists, their texts, and what is
	// compiled of it: 6 objects. With its nodes there are 20.
	if whole > before+10*rules {
		t.Errorf("a config of %d rules holds %d objects", rules, whole-before)
	}
	if lean > before+rules {
		t.Errorf("without its policy it holds %d objects", lean-before)
	}
}
