package strictyaml

import (
	"fmt"
	"strings"
	"testing"
)

// A section may have any number of keys. Sections with more than 16 keys need an allocation.
func TestSectionOfManyKeys(t *testing.T) {
	const n = 40
	var keys []*Key[[n]string]
	var src strings.Builder
	for i := range n {
		keys = append(keys, On(fmt.Sprint("key", i), Line, func(s *[n]string, v string) { s[i] = v }))
		fmt.Fprintf(&src, "key%d: value %d\n", i, i)
	}
	read := func(src string) (s [n]string, ok bool, problems error) {
		root, err := parseWhole([]byte(src))
		if err != nil {
			t.Fatal(err)
		}
		d := &Decoder{Reader: &Reader{}, src: []byte(src)}
		s, ok = Section(keys).Read(d, root)
		return s, ok, d.Err()
	}
	s, ok, err := read(src.String())
	if !ok || err != nil || s[0] != "value 0" || s[n-1] != "value 39" {
		t.Errorf("%v, %v: %q", ok, err, s)
	}
	if _, ok, err := read(src.String() + "key39: again\n"); ok || err == nil {
		t.Errorf("a key that is written twice: %v, %v", ok, err)
	}
}
