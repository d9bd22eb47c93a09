package config

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// A service holds its config in memory as long as it runs. So the config must not hold the nodes
// of the YAML. The test counts objects, because each object costs time in every garbage
// collection.
func TestAConfigKeepsNoNodeOfItsYAML(t *testing.T) {
	const rules = 2_000
	dir := t.TempDir()
	writeKeys(t, dir)
	file := filepath.Join(dir, "tidewaiter.yaml")
	if err := os.WriteFile(file, []byte("registries: [{service: r}]\n"+manyRules(rules)), 0o600); err != nil {
		t.Fatal(err)
	}
	objects := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the second collection frees the objects that the first collection found
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
	// A rule with one subject and one pattern is 6 objects: a name, two lists, their texts, and
	// its compiled form. If the config also held the nodes of the rule, there would be 20 objects.
	if whole > before+10*rules {
		t.Errorf("a config with %d rules has %d objects", rules, whole-before)
	}
	if lean > before+rules {
		t.Errorf("without its policy it has %d objects", lean-before)
	}
}
